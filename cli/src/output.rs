//! Tables for people: aligned columns, no lines, so that `awk` and `cut` work on them too.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// A column's title and where its text stands.
pub(crate) struct Column<'a>(pub(crate) &'a str, pub(crate) CellAlignment);

/// A left-aligned column.
pub(crate) const fn left(title: &str) -> Column<'_> {
    Column(title, CellAlignment::Left)
}

/// A right-aligned column, for numbers.
pub(crate) const fn right(title: &str) -> Column<'_> {
    Column(title, CellAlignment::Right)
}

/// Renders rows under a header, without a final newline.
pub(crate) fn table(columns: &[Column<'_>], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|c| c.0));
    for row in rows {
        table.add_row(row.iter().map(|text| one_line(text)));
    }
    for (column, spec) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 2));
        column.set_cell_alignment(spec.1);
    }
    table.trim_fmt()
}

/// Text without line breaks and other control characters, which would tear the table (or drive the terminal).
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_trimmed() {
        let text = table(
            &[left("NAME"), right("SIZE")],
            [vec!["a".into(), "10 B".into()], vec!["longer".into(), "2 KiB".into()]],
        );
        assert_eq!(text, "NAME     SIZE\na        10 B\nlonger  2 KiB");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(one_line("a\nb\x1b[31m"), "a b [31m");
    }
}
