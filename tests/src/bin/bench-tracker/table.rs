//! Measured values of several contenders, in a table.

use std::collections::BTreeMap;

use crate::contender::Contender;

/// Values by what they are and whose they are, in the order in which they were first added.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    decimals: usize,
    values: BTreeMap<Contender, Vec<f64>>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn add(&mut self, contender: Contender, name: &'static str, decimals: usize, value: f64) {
        let place = self.rows.iter().position(|row| row.name == name);
        let place = place.unwrap_or_else(|| {
            self.rows.push(Row {
                name,
                decimals,
                values: BTreeMap::new(),
            });
            self.rows.len() - 1
        });
        self.rows[place].values.entry(contender).or_default().push(value);
    }

    /// Least, median and most of each, and our median divided by each other's.
    pub(crate) fn print(&self, title: &str) {
        println!("\n## {title}\n\n| | | min / median / max | ours to theirs |\n| --- | --- | --- | --- |");
        for row in &self.rows {
            let ours = row.values.get(&Contender::Causeway).map(|values| median(values));
            for (contender, values) in &row.values {
                let ratio = match ours {
                    Some(ours) if *contender != Contender::Causeway => {
                        format!("{:.2}", ours / median(values))
                    }
                    _ => String::new(),
                };
                let least = values.iter().copied().fold(f64::INFINITY, f64::min);
                let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let decimals = row.decimals;
                println!(
                    "| {} | {} | {least:.decimals$} / {:.decimals$} / {most:.decimals$} | {ratio} |",
                    row.name,
                    contender.name(),
                    median(values)
                );
            }
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
