//! Parses a state table from a module's own documentation, so that table and code cannot diverge.

/// A table: the names of its columns, and the name and cells of each row.
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<(String, Vec<String>)>,
}

impl Table {
    /// Parses the first table in the module documentation of `source`, whose rows begin with `//! |`.
    pub(super) fn parse(source: &str) -> Self {
        let mut lines = source
            .lines()
            .skip_while(|line| !line.starts_with("//! |"))
            .map_while(|line| line.strip_prefix("//! |"))
            .map(|line| {
                let cells = line.trim_end().trim_end_matches('|').split('|');
                cells.map(|cell| cell.trim().to_owned()).collect()
            });
        let head: Vec<String> = lines.next().expect("the table has a head");
        let rows = lines.skip(1).map(|mut cells| {
            let name = cells.remove(0);
            assert_eq!(cells.len(), head.len() - 1, "the row of {name} is whole");
            (name, cells)
        });
        Self {
            rows: rows.collect(),
            columns: head[1..].to_vec(),
        }
    }

    /// Compares every cell with the result of `step` for these states and inputs, given with their names in the table.
    pub(super) fn check<S, I: Copy>(
        &self,
        states: &[(&str, S)],
        inputs: &[(&str, I)],
        step: impl Fn(&S, I) -> String,
    ) {
        let rows: Vec<&str> = self.rows.iter().map(|row| row.0.as_str()).collect();
        let expected: Vec<&str> = states.iter().map(|state| state.0).collect();
        assert_eq!(rows, expected, "the table has all states");
        let expected: Vec<&str> = inputs.iter().map(|input| input.0).collect();
        assert_eq!(self.columns, expected, "the table has all inputs");
        for ((name, state), (_, cells)) in states.iter().zip(&self.rows) {
            for ((column, input), cell) in inputs.iter().zip(cells) {
                assert_eq!(&step(state, *input), cell, "{name}, {column}");
            }
        }
    }
}

/// A step as it is written in the tables.
pub(super) fn cell(step: impl std::fmt::Debug) -> String {
    match format!("{step:?}").as_str() {
        "Impossible" => "-".to_owned(),
        "None" => "none".to_owned(),
        other => other.to_owned(),
    }
}
