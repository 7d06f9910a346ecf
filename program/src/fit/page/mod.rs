//! The report of a fit as a page: one file of HTML without references to others, for screens, phones and paper.

mod html;
mod statistics;

use std::path::Path;

use secondo::Reason;

use html::{cells, definitions, escaped, table};

use super::report::{Report, Subject, TableFacts};
use crate::files::PAGE_MARK;
use crate::metrics::Metrics;
use crate::output::plural;
use crate::plot::{Figure, Mark, Name};

/// The size of a panel.
const PANEL: (i32, i32) = (480, 340);
/// One of a matrix.
const SQUARE: (i32, i32) = (480, 460);

const STYLE: &str = include_str!("style.css");

impl Report {
    /// Returns the report as a page: one file of HTML, which is well-formed XML, too, and refers to nothing outside.
    ///
    /// The sections are the summary, data, network, convergence, fit, residuals or confusion, effects, second derivatives and statistics.
    /// A figure that there is not has a sentence that says why.
    pub fn to_html(&self) -> String {
        let title = match &self.subject {
            Subject::Table(facts) => {
                format!("{} from {}", facts.data.target, file_name(&facts.data.file))
            }
            Subject::Problem(facts) => file_name(&facts.file),
        };
        let sections = [
            ("summary", "Summary", self.summary()),
            ("data", "Data", definitions(&self.subject.introduction(&self.objective))),
            ("network", "Network", self.drawn(Name::Network)),
            ("convergence", "Convergence", self.course()),
            ("fit", "Fit", self.drawn(Name::Fit)),
            self.errors(),
            ("effects", "Effects of the inputs", self.drawn(Name::Effects)),
            ("second", "Second derivatives", self.second()),
            ("statistics", "Statistics", statistics::section(&self.shown)),
        ];
        let links: String = (sections.iter())
            .map(|(id, name, _)| format!("<a href=\"#{id}\">{name}</a>\n"))
            .collect();
        let body: String = (sections.iter())
            .map(|(id, name, text)| {
                format!("<section id=\"{id}\">\n<h2>{name}</h2>\n{text}</section>\n")
            })
            .collect();
        let (title, version) = (escaped(&title), escaped(&self.version));
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n{PAGE_MARK} {version}\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>{title}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n<nav>\n{links}</nav>\n</header>\n\
             <main>\n{body}</main>\n<footer>Written by secondo {version}.</footer>\n</body>\n</html>\n"
        )
    }

    /// How good the fit is, in a sentence and a table, and what to know about it.
    fn summary(&self) -> String {
        let mut out = String::new();
        let ended = match self.fit.reason {
            Reason::Validation => "It ended early",
            reason if reason.converged() => "It converged",
            _ => "It did not converge",
        };
        let choice = format!("{ended}: {}.", self.fit.reason);
        if let Subject::Table(facts) = &self.subject {
            out += &format!(
                "<p class=\"lead\">{} {}</p>\n",
                escaped(&verdict(facts)),
                escaped(&choice)
            );
            out += &measured(facts);
        } else {
            out += &format!("<p class=\"lead\">{}</p>\n", escaped(&choice));
        }
        if !self.notes.is_empty() {
            let notes = self.notes.iter().map(|note| format!("<li>{}</li>\n", escaped(note)));
            out += &format!("<ul class=\"notes\">\n{}</ul>\n", notes.collect::<String>());
        }
        if let Some(model) = &self.model {
            out += &format!("<p>The model is in <code>{}</code>.</p>\n", escaped(model));
        }
        out
    }

    fn course(&self) -> String {
        let mut out = self.drawn(Name::Convergence);
        out += &definitions(&self.fit.to_string());
        let starts = self.starts.lines();
        if !starts.is_empty() {
            let items = starts.iter().map(|line| format!("<li>{}</li>\n", escaped(line)));
            out += &format!("<h3>Starts</h3>\n<ul>\n{}</ul>\n", items.collect::<String>());
        }
        out
    }

    /// The residuals of numbers, the confusion of classes.
    fn errors(&self) -> (&'static str, &'static str, String) {
        if self.shown.classes.is_empty() {
            return ("residuals", "Residuals", self.drawn(Name::Residuals));
        }
        let mut text = self.drawn(Name::Confusion);
        if let Subject::Table(facts) = &self.subject {
            for (part, metrics) in
                [("training", &facts.metrics.train), ("test", &facts.metrics.test)]
            {
                text += &metrics.as_ref().map(|m| by_class(part, m)).unwrap_or_default();
            }
        }
        ("confusion", "Confusion", text)
    }

    fn second(&self) -> String {
        let what = "<p>The exact Hessian of the objective at the end of the fit: its eigenvalues are positive at a minimum, and small \
                    ones belong to directions that the data hardly determine.</p>\n";
        format!("{what}{}{}", self.drawn(Name::Spectrum), self.drawn(Name::Hessian))
    }

    /// The figure of this name, or why there is none.
    fn drawn(&self, name: Name) -> String {
        match self.figures().figure(name).and_then(|figure| drawing(name, &figure)) {
            Ok(text) => text,
            Err(why) => format!("<p class=\"absent\">Not shown: {}.</p>\n", escaped(&why)),
        }
    }
}

/// The name of a file without its folder.
fn file_name(path: &str) -> String {
    let name = Path::new(path).file_name();
    name.map_or(path.into(), |name| name.to_string_lossy().into_owned())
}

/// A sentence on the task, on how well it was learnt, and on how well a linear model does.
fn verdict(facts: &TableFacts) -> String {
    let data = &facts.data;
    let features = plural(data.features.len(), "feature");
    let mut out = format!(
        "A {} of {} from {features}, trained on {}.",
        data.task,
        data.target,
        plural(data.train_rows, "row")
    );
    let metrics = &facts.metrics;
    let (rows, of) = match (&metrics.test, &metrics.train) {
        (Some(test), _) => ("test", test),
        (None, Some(train)) => ("training", train),
        _ => return out,
    };
    // R², or the accuracy.
    let telling = |metrics: &Metrics| {
        let lines = metrics.lines();
        let name = if matches!(metrics, Metrics::Regression { .. }) { "R²" } else { "accuracy" };
        lines.into_iter().find(|(known, _)| *known == name)
    };
    if let Some((name, value)) = telling(of) {
        out += &format!(" On the {rows} rows its {name} is {value}");
        if let Some((_, linear)) = metrics.linear.as_ref().and_then(telling) {
            out += &format!("; that of a linear model is {linear}");
        }
        out.push('.');
    }
    out
}

/// The figures of all parts side by side.
fn measured(facts: &TableFacts) -> String {
    let metrics = &facts.metrics;
    let parts = [
        ("training", &metrics.train),
        ("validation", &metrics.validation),
        ("test", &metrics.test),
        ("linear model", &metrics.linear),
    ];
    let parts: Vec<_> = parts
        .into_iter()
        .filter_map(|(name, metrics)| Some((name, metrics.as_ref()?.lines())))
        .collect();
    let Some((_, first)) = parts.first() else {
        return String::new();
    };
    let head = std::iter::once("").chain(parts.iter().map(|(name, _)| *name));
    let rows = first.iter().enumerate().map(|(index, (name, _))| {
        let value = |(_, lines): &(&str, Vec<(&str, String)>)| {
            lines.get(index).map_or(String::new(), |line| line.1.clone())
        };
        cells(name, parts.iter().map(value))
    });
    table(head, rows)
}

/// Precision, recall and area of each class.
fn by_class(part: &str, metrics: &Metrics) -> String {
    let Metrics::Classification { classes, .. } = metrics else {
        return String::new();
    };
    let share = |value: Option<f64>| value.map_or("–".into(), |v| format!("{v:.3}"));
    let rows = classes.iter().map(|class| {
        let values = [class.precision, class.recall, class.auc].map(share);
        cells(&class.class, values)
    });
    format!("<h3>{part} rows</h3>\n{}", table(["class", "precision", "recall", "AUC"], rows))
}

/// A figure with its title, legend and panels.
fn drawing(name: Name, figure: &Figure) -> Result<String, String> {
    let swatch = |(mark, colour, text): &(Mark, plotters::style::RGBColor, String)| {
        let colour = format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2);
        let shape = match mark {
            Mark::Line | Mark::Steps => {
                format!("<path d=\"M0 6H24\" stroke=\"{colour}\" stroke-width=\"2\"/>")
            }
            Mark::Dot => format!("<circle cx=\"12\" cy=\"6\" r=\"4\" fill=\"{colour}\"/>"),
            Mark::Ring => {
                format!("<circle cx=\"12\" cy=\"6\" r=\"4\" fill=\"none\" stroke=\"{colour}\"/>")
            }
        };
        format!(
            "<li><svg class=\"mark\" viewBox=\"0 0 24 12\">{shape}</svg>{}</li>\n",
            escaped(text)
        )
    };
    let legend: String = figure.legend.iter().map(swatch).collect();
    let legend =
        if legend.is_empty() { legend } else { format!("<ul class=\"legend\">\n{legend}</ul>\n") };
    let size = match name {
        Name::Hessian | Name::Confusion => SQUARE,
        _ => PANEL,
    };
    let panels =
        figure.panels.iter().map(|panel| panel.svg(size)).collect::<Result<String, _>>()?;
    Ok(format!(
        "<figure>\n<figcaption>{}</figcaption>\n{legend}<div class=\"panels\">\n{panels}</div>\n</figure>\n",
        escaped(&figure.title)
    ))
}
