//! The table, for terminals, for documents and for programs.

use crate::row::Row;

/// What a run showed.
pub(crate) struct Report {
    /// What somebody should know who reads the figures.
    pub(crate) facts: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

/// A column: its title, and what it says of a row.
type Column = (&'static str, fn(&Row) -> String);

/// What a column is called, and how it is filled. Ratios come first: the rest depends on the machine.
const COLUMNS: [Column; 13] = [
    ("measured", |row| row.name.clone()),
    ("ratio", |row| fixed(row.ratio, 2)),
    ("of", |row| row.compared.to_owned()),
    ("target", |row| row.target.as_ref().map(|target| target.text.clone()).unwrap_or_default()),
    ("met", |row| match &row.target {
        Some(target) => if target.is_met { "yes" } else { "**no**" }.to_owned(),
        None => String::new(),
    }),
    ("requests/s", |row| fixed(row.requests_per_second, 0)),
    ("p50", |row| time(row.p50_us)),
    ("p99", |row| time(row.p99_us)),
    ("p99.9", |row| time(row.p999_us)),
    ("CPU µs", |row| fixed(row.cpu_us, 2)),
    ("bare", |row| fixed(row.bare_cpu_us, 2)),
    ("k-instructions / bare", |row| match (row.instructions, row.bare_instructions) {
        (Some(real), Some(bare)) => format!("{:.1} / {:.1}", real / 1e3, bare / 1e3),
        _ if row.requests_per_second.is_some() => "n/a".to_owned(),
        _ => String::new(),
    }),
    ("memory", |row| row.rss_bytes.map(bytes).unwrap_or_default()),
];

impl Report {
    /// Returns the table for a terminal.
    pub(crate) fn text(&self) -> String {
        let cells = self.cells();
        let widths: Vec<usize> = (0..COLUMNS.len())
            .map(|column| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default())
            .collect();
        let mut text = String::new();
        for row in cells {
            let padded = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                let cell = cell.replace('*', "");
                if is_figure(column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        for fact in &self.facts {
            text.push('\n');
            text.push_str(fact);
        }
        text
    }

    /// Returns the table as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut cells = self.cells().into_iter();
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let head = cells.next().map(line).unwrap_or_default();
        let rule = (0..COLUMNS.len()).map(|column| if is_figure(column) { "--:" } else { "---" }.to_owned());
        let rule = line(rule.collect());
        let rows: String = cells.map(line).collect();
        format!("{}\n\n{head}{rule}{rows}", self.facts.join(" "))
    }

    /// Returns the figures as JSON.
    ///
    /// # Errors
    /// Never in practice: all figures have a form in JSON.
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.rows)
    }

    fn cells(&self) -> Vec<Vec<String>> {
        let head = COLUMNS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let rows = self.rows.iter().map(|row| COLUMNS.iter().map(|(_, cell)| cell(row)).collect());
        std::iter::once(head).chain(rows).collect()
    }
}

fn is_figure(column: usize) -> bool {
    !matches!(COLUMNS[column].0, "measured" | "of" | "target" | "met")
}

fn fixed(figure: Option<f64>, decimals: usize) -> String {
    figure.map(|figure| format!("{figure:.decimals$}")).unwrap_or_default()
}

fn time(micros: Option<f64>) -> String {
    match micros {
        None => String::new(),
        Some(micros) if micros < 1e3 => format!("{micros:.0} µs"),
        Some(micros) if micros < 1e6 => format!("{:.2} ms", micros / 1e3),
        Some(micros) => format!("{:.2} s", micros / 1e6),
    }
}

fn bytes(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        _ if bytes < 1024.0 => format!("{bytes:.0} B"),
        _ if bytes < 1024.0 * 1024.0 => format!("{:.1} KiB", bytes / 1024.0),
        _ => format!("{:.1} MiB", bytes / 1024.0 / 1024.0),
    }
}
