// The icons: SVG paths in a view box of 20 × 20, stroked in the colour of the surrounding text.

const shapes = {
  hash: 'M4 7.5h12.5M3.5 12.5H16M8.5 3.5 7 16.5M13 3.5l-1.5 13',
  lock: 'M5 9h10v7.5H5zM7 9V6.5a3 3 0 0 1 6 0V9',
  board: 'M3.5 4h3.6v12H3.5zM8.2 4h3.6v8H8.2zM12.9 4h3.6v10h-3.6z',
  bell: 'M10 3a4.5 4.5 0 0 0-4.5 4.5c0 4-1.5 5.5-1.5 5.5h12s-1.5-1.5-1.5-5.5A4.5 4.5 0 0 0 10 3zM8.3 15.5a1.8 1.8 0 0 0 3.4 0',
  chart: 'M3.5 16.500h13M6 13.500v-4M10 13.500v-9M14 13.500v-6',
  plus: 'M10 4.500v11M4.5 10h11',
  back: 'M12 4.5 6.5 10l5.5 5.5',
  down: 'M10 4.500v11M5.5 11l4.5 4.5 4.5-4.5',
  send: 'M4 10h11.500M11 5l5 5-5 5',
  ticket: 'M3.5 6.500h13v2.200a1.5 1.5 0 0 0 0 2.800v2.200h-13v-2.200a1.5 1.5 0 0 0 0-2.800zM12 6.500v7.2',
  text: 'M4 5h12M4 10h12M4 15h7',
  template: 'M5 3.5h6.5L15 7v9.5H5zM11.5 3.5V7H15M7.8 10.5h4.4M7.8 13.3h4.4',
  comment: 'M4 4.500h12v8.500H9l-3.5 3v-3H4z',
  close: 'M5.5 5.500l9 9M14.5 5.500l-9 9',
  more: 'M5 10h.01M10 10h.01M15 10h.01',
  people: 'M7.5 9.500a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.400zM2.5 16c.3-2.8 2.3-4.3 5-4.300s4.7 1.5 5 4.300M13 4.500a2.5 2.5 0 0 1 0 4.700M14.5 12c1.8.5 2.8 1.9 3 4',
  check: 'M4.5 10.5 8.3 14l7.2-8',
  search: 'M8.8 14.100a5.3 5.3 0 1 0 0-10.6 5.3 5.3 0 0 0 0 10.600zM12.7 12.700l3.8 3.8',
};

export function Icon({ name, size = 20 }) {
  return (
    <svg class="icon" data-icon={name} width={size} height={size} viewBox="0 0 20 20" aria-hidden="true">
      <path d={shapes[name]} />
    </svg>
  );
}
