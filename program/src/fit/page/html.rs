//! Texts as HTML.

/// A text of the data: markup is text, and what XML has no place for a blank.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{FFFE}' | '\u{FFFF}' => out.push(' '),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// The width of titles in the lines of a report.
const TITLE: usize = 13;

/// Lines of a report, each a title and a text, as a list of definitions.
pub fn definitions(lines: &str) -> String {
    let mut out = String::from("<dl>\n");
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let title: String = line.chars().take(TITLE).collect();
        let text: String = line.chars().skip(TITLE).collect();
        let (title, text) = (title.trim(), escaped(text.trim()));
        if !title.is_empty() {
            out += &format!("<dt>{}</dt>\n", escaped(title));
        }
        out += &format!("<dd>{text}</dd>\n");
    }
    out + "</dl>\n"
}

/// A row of a table: its name and its values.
pub fn cells(name: &str, values: impl IntoIterator<Item = String>) -> String {
    let values = values.into_iter().map(|v| format!("<td>{}</td>", escaped(&v)));
    format!("<tr><th>{}</th>{}</tr>\n", escaped(name), values.collect::<String>())
}

/// A table with names of its columns.
pub fn table<'a>(
    head: impl IntoIterator<Item = &'a str>,
    rows: impl IntoIterator<Item = String>,
) -> String {
    let head = head.into_iter().map(|name| format!("<th>{}</th>", escaped(name)));
    let (head, rows) = (head.collect::<String>(), rows.into_iter().collect::<String>());
    format!(
        "<div class=\"scroll\">\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n"
    )
}
