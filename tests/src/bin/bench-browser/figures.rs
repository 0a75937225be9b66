//! Measured values of several contenders, and the tables they are shown in.

use std::collections::BTreeMap;

use crate::contender::Contender;

/// One kind of value, measured in every round for every contender.
#[derive(Debug)]
pub(crate) struct Values {
    /// What it is, with its unit.
    name: &'static str,
    decimals: usize,
    by_contender: BTreeMap<Contender, Vec<f64>>,
}

impl Values {
    pub(crate) fn new(name: &'static str, decimals: usize) -> Self {
        Self {
            name,
            decimals,
            by_contender: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, contender: Contender, value: f64) {
        self.by_contender.entry(contender).or_default().push(value);
    }

    /// A line for each contender.
    pub(crate) fn print(&self) {
        for (contender, values) in &self.by_contender {
            println!(
                "| {} | {} | {} | |",
                self.name,
                contender.name(),
                spread(values, self.decimals)
            );
        }
    }

    /// A line with our value divided by another's, round by round, and whether the goal is met.
    pub(crate) fn print_ratio(&self, other: Contender, goal: Goal) {
        let (Some(ours), Some(theirs)) = (
            self.by_contender.get(&Contender::Causeway),
            self.by_contender.get(&other),
        ) else {
            return;
        };
        let ratios: Vec<f64> = ours
            .iter()
            .zip(theirs)
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        let against = format!("{} to {}", Contender::Causeway.name(), other.name());
        println!(
            "| {} | {against} | {} | {} |",
            self.name,
            spread(&ratios, 2),
            goal.judge(median(&ratios))
        );
    }

    /// A line with our own value against a goal.
    pub(crate) fn print_goal(&self, goal: Goal) {
        if let Some(ours) = self.by_contender.get(&Contender::Causeway) {
            println!(
                "| {} | goal | {} | {} |",
                self.name,
                spread(ours, self.decimals),
                goal.judge(median(ours))
            );
        }
    }
}

/// What a value should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It is shown for comparison.
    Compare,
}

impl Goal {
    pub(crate) fn judge(self, value: f64) -> String {
        let (met, goal) = match self {
            Self::AtLeast(least) => (value >= least, format!("at least {least}")),
            Self::AtMost(most) => (value <= most, format!("at most {most}")),
            Self::Compare => return String::new(),
        };
        format!("{goal}: {}", if met { "met" } else { "MISSED" })
    }
}

/// The head of a table.
pub(crate) fn print_head(title: &str) {
    println!("\n## {title}\n\n| | | min / median / max | goal |\n| --- | --- | --- | --- |");
}

fn spread(values: &[f64], decimals: usize) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!(
        "{least:.decimals$} / {:.decimals$} / {most:.decimals$}",
        median(values)
    )
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_goal_is_met_at_its_bound() {
        assert_eq!(Goal::AtLeast(1.3).judge(1.3), "at least 1.3: met");
        assert_eq!(Goal::AtMost(0.7).judge(0.71), "at most 0.7: MISSED");
    }
}
