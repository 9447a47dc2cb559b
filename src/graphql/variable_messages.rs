//! Rewords juniper's messages about values of variables that do not fit their type. The new message names the place,
//! the expected type and the value. juniper's own messages repeat the value or leave it out.

use super::values::{InputValue, Variables};

/// The new message; `None` if the message is not about a value that does not fit its type.
pub fn reworded(message: &str, variables: &Variables) -> Option<String> {
    let (name, rest) = message.strip_prefix("Variable \"$")?.split_once("\" got invalid value. ")?;
    let (place, value, reason) = read_path(name, rest.strip_suffix('.').unwrap_or(rest), variables);
    if let Some(type_name) = reason.strip_prefix("Invalid value for enum ") {
        return Some(format!("{place} is {}: not a value for enum {type_name}", value?));
    }
    if let Some((type_name, found)) = reason.strip_prefix("Expected \"").and_then(|rest| rest.split_once("\", found "))
    {
        let found = value.filter(|value| !value.is_null()).map_or_else(|| found.to_owned(), ToString::to_string);
        return Some(format!("{place} must be of type {type_name}, found {found}"));
    }
    let rest =
        reason.strip_prefix("Expected input scalar `").or_else(|| reason.strip_prefix("Expected input of type `"))?;
    let (type_name, rest) = rest.split_once("`. Got: `")?;
    let (found, details) = rest.rsplit_once("`. Details: ")?;
    // The details of juniper's own scalars repeat the type and the value.
    let details = if details.starts_with("Expected") { String::new() } else { format!(": {details}") };
    Some(format!("{place} must be of type {type_name}, found {found}{details}"))
}

/// Reads the path at the beginning of a message. Returns the variable with the path, the value at this path, and the
/// rest of the message.
fn read_path<'m, 'v>(
    name: &str,
    mut reason: &'m str,
    variables: &'v Variables,
) -> (String, Option<&'v InputValue>, &'m str) {
    let (mut path, mut value) = (String::new(), variables.get(name));
    loop {
        if let Some((field, rest)) = reason.strip_prefix("In field \"").and_then(|rest| rest.split_once("\": ")) {
            path.push('.');
            path.push_str(field);
            value = value.and_then(|value| value.to_object_value()?.get(field).copied());
            reason = rest;
        } else if let Some((index, rest)) = reason.strip_prefix("In element #").and_then(|rest| rest.split_once(": ")) {
            path.extend(["[", index, "]"]);
            value = value.and_then(|value| value.to_list_value()?.get(index.parse::<usize>().ok()?).copied());
            reason = rest;
        } else {
            break;
        }
    }
    let place = if path.is_empty() { String::new() } else { format!(" at \"{name}{path}\"") };
    (format!("Variable \"${name}\"{place}"), value, reason)
}

#[cfg(test)]
mod tests {
    use juniper::Spanning;

    use super::*;

    fn variables() -> Variables {
        let text = |text: &str| InputValue::scalar(text);
        let field = |name: &str, value| (Spanning::unlocated(name.to_owned()), Spanning::unlocated(value));
        let inner = InputValue::parsed_object(vec![
            field("status", text("DONE")),
            field("tags", InputValue::list(vec![text("a")])),
        ]);
        [("n".to_owned(), text("ten")), ("s".to_owned(), text("DONE")), ("i".to_owned(), inner)].into_iter().collect()
    }

    #[test]
    fn value_of_wrong_type_is_named_once() {
        let cases = [
            (
                "Variable \"$n\" got invalid value. Expected input scalar `Int`. Got: `\"ten\"`. Details: Expected `Int`, found: \"ten\".",
                "Variable \"$n\" must be of type Int, found \"ten\"",
            ),
            (
                "Variable \"$n\" got invalid value. Expected input scalar `DateTime`. Got: `\"ten\"`. Details: not a time in the format of RFC 3339.",
                "Variable \"$n\" must be of type DateTime, found \"ten\": not a time in the format of RFC 3339",
            ),
            (
                "Variable \"$s\" got invalid value. Invalid value for enum \"TicketStatus\".",
                "Variable \"$s\" is \"DONE\": not a value for enum \"TicketStatus\"",
            ),
            (
                "Variable \"$i\" got invalid value. In field \"status\": Invalid value for enum \"TicketStatus\".",
                "Variable \"$i\" at \"i.status\" is \"DONE\": not a value for enum \"TicketStatus\"",
            ),
            (
                "Variable \"$i\" got invalid value. In field \"tags\": In element #0: Expected \"Role\", found not a string or enum.",
                "Variable \"$i\" at \"i.tags[0]\" must be of type Role, found \"a\"",
            ),
            (
                "Variable \"$i\" got invalid value. In field \"title\": Expected \"String!\", found null.",
                "Variable \"$i\" at \"i.title\" must be of type String!, found null",
            ),
        ];
        for (message, expected) in cases {
            assert_eq!(reworded(message, &variables()).as_deref(), Some(expected));
        }
    }

    #[test]
    fn other_messages_are_not_reworded() {
        let messages = [
            "Variable \"$n\" of required type \"Int!\" was not provided.",
            "Variable \"$i\" got invalid value. In field \"x\": Unknown field.",
            "Variable \"$gone\" got invalid value. Invalid value for enum \"Role\".",
            "",
        ];
        for message in messages {
            assert_eq!(reworded(message, &variables()), None, "{message}");
        }
    }
}
