//! What a person sees while a task works: a spinner in a terminal, plain lines in a pipe.

use std::io::{IsTerminal, Write, stderr};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The spinners of all steps under way, on standard error.
static SPINNERS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// A line above the spinners.
fn line(text: &str) {
    // Nobody is left to tell when standard error is closed.
    SPINNERS.suspend(|| {
        let _ = writeln!(stderr(), "{text}");
    });
}

/// Reports the steps of one task on standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    terminal: bool,
    color: bool,
}

/// A step that is under way.
#[derive(Debug)]
pub(crate) struct Step {
    bar: Option<ProgressBar>,
    progress: Progress,
    name: String,
    started: Instant,
}

impl Progress {
    /// Looks at standard error and at `NO_COLOR` (no-color.org: set and not empty).
    pub(crate) fn detect() -> Progress {
        let terminal = stderr().is_terminal() && std::env::var_os("CI").is_none();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = terminal && !no_color;
        Progress { terminal, color }
    }

    /// Does one step, says that it goes on, and how long it took.
    pub(crate) fn step<T>(&self, name: &str, work: impl FnOnce(&Step) -> Result<T>) -> Result<T> {
        let step = self.start(name);
        let result = work(&step);
        step.finish(result.is_ok());
        result
    }

    /// A line of its own.
    pub(crate) fn note(&self, text: &str) {
        line(&format!("  {text}"));
    }

    fn start(&self, name: &str) -> Step {
        let bar = self.terminal.then(|| {
            let bar = ProgressBar::new_spinner().with_message(name.to_owned());
            let bar = SPINNERS.add(bar);
            let template = if self.color {
                "{spinner:.cyan} {msg} {elapsed:.dim}"
            } else {
                "{spinner} {msg} {elapsed}"
            };
            bar.set_style(
                ProgressStyle::with_template(template)
                    .expect("the template is one of two literals"),
            );
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        if bar.is_none() {
            line(&format!("• {name} …"));
        }
        Step {
            bar,
            progress: *self,
            name: name.to_owned(),
            started: Instant::now(),
        }
    }
}

impl Step {
    /// Says how far the step is; in a pipe only the step's end is told.
    pub(crate) fn detail(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {text}", self.name));
        }
    }

    fn finish(self, success: bool) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.started.elapsed().as_secs_f32();
        let mark = match (success, self.progress.color) {
            (true, true) => "\x1b[32m✓\x1b[0m",
            (true, false) => "✓",
            (false, true) => "\x1b[31m✗\x1b[0m",
            (false, false) => "✗",
        };
        line(&format!("{mark} {} ({seconds:.1} s)", self.name));
    }
}
