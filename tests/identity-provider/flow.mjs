// Signs a user in at the provider, as a browser does: follows redirects, keeps cookies, and fills in the forms.

/** The cookies of each origin. */
export class Browser {
  #jars = new Map();

  /** Sends one request with the cookies of the origin, and follows no redirect. */
  async request(url, options = {}) {
    const { origin } = new URL(url);
    const jar = this.#jars.get(origin) ?? new Map();
    this.#jars.set(origin, jar);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = { ...options.headers, ...(cookie && { cookie }) };
    const response = await fetch(url, { ...options, headers, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) {
      const [pair] = line.split(';');
      const at = pair.indexOf('=');
      const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
      if (value === '' || /expires=Thu, 01 Jan 1970|max-age=0/i.test(line)) jar.delete(name);
      else jar.set(name, value);
    }
    return response;
  }

  /** Follows redirects from `url`, and signs in as `user` where the provider asks. Stops before `until`, if a redirect leads there. */
  async signIn(url, user, until) {
    for (let steps = 0; steps < 20; steps += 1) {
      if (until && url.startsWith(until)) return { url };
      const response = await this.request(url);
      const location = response.headers.get('location');
      if (location) {
        url = new URL(location, url).href;
        continue;
      }
      const page = await response.text();
      const form = /<form[^>]*action="([^"]+)"/.exec(page)?.[1];
      const prompt = /name="prompt" value="(\w+)"/.exec(page)?.[1];
      if (!prompt) return { url, status: response.status, page, headers: response.headers };
      const body = new URLSearchParams({ prompt, login: user, password: 'any' });
      const submitted = await this.request(new URL(form, url).href, { method: 'POST', body });
      const next = submitted.headers.get('location');
      if (!next) throw new Error(`the form was answered with ${submitted.status}: ${await submitted.text()}`);
      url = new URL(next, url).href;
    }
    throw new Error(`too many redirects; the last one leads to ${url}`);
  }
}
