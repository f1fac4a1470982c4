//! Draws a night on the terminal, and hears keys.

use crate::cli::out;
use crate::cli::top::glance::{Glance, HEADS, WIDTHS};
use crate::cli::top::watched::Watched;
use anyhow::{Context, Result};
use nightlab::night::report::running::Running;
use nightlab::night::report::watch::PAUSE;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, LineGauge, Paragraph, Row, Table};
use rustix::event::{PollFd, PollFlags, Timespec};
use signal_hook::consts::SIGTERM;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Lines of what trains, with and without its curve.
const WITH_CURVE: u16 = 10;
const WITHOUT_CURVE: u16 = 4;
/// A screen with fewer lines has no curve.
const ROOM_FOR_CURVE: u16 = 28;
/// Most proposers that are shown.
const MOST_PROPOSERS: usize = 5;
const KEYS: &str = "q end   ↑ ↓ Page Up, Page Down scroll   Home latest";

/// Shows the night until a key or a signal ends it. The terminal is left as it was.
pub fn show(watched: &mut Watched) -> Result<()> {
    let ended = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGTERM, ended.clone()).context("cannot listen for signals")?;
    let mut terminal = ratatui::try_init().context("cannot draw on this terminal; `host top --once` prints lines")?;
    let shown = follow(&mut terminal, watched, &ended);
    ratatui::try_restore().context("cannot put the terminal in order; `reset` does")?;
    shown
}

fn follow(terminal: &mut ratatui::DefaultTerminal, watched: &mut Watched, ended: &AtomicBool) -> Result<()> {
    let mut glance = Glance::of(watched);
    let (mut looked, mut back) = (Instant::now(), 0);
    let colours = out::shows_colours();
    while !ended.load(Ordering::Relaxed) {
        back = back.min(glance.rows.len().saturating_sub(1));
        terminal.draw(|frame| draw(frame, &glance, back, colours))?;
        let left = PAUSE.saturating_sub(looked.elapsed());
        if is_gone(left)? {
            return Ok(());
        }
        while event::poll(Duration::ZERO)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match act(key) {
                    Act::End => return Ok(()),
                    Act::Back(by) => back = back.saturating_add_signed(by),
                    Act::Latest => back = 0,
                    Act::Nothing => {}
                },
                _ => {}
            }
        }
        if looked.elapsed() >= PAUSE {
            watched.look();
            (glance, looked) = (Glance::of(watched), Instant::now());
        }
    }
    Ok(())
}

/// Waits for a key, a signal or the time, and says whether the terminal was closed: crossterm would read its end for
/// ever.
fn is_gone(most: Duration) -> Result<bool> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        // The keys come from the terminal of the process, whose end is the signal that ends the process.
        event::poll(most)?;
        return Ok(false);
    }
    let mut waited = [PollFd::new(&stdin, PollFlags::IN)];
    match rustix::event::poll(&mut waited, Some(&Timespec::try_from(most)?)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(waited[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)),
        Err(error) => Err(error.into()),
    }
}

enum Act {
    End,
    /// Trials to scroll into the past; negative is towards the latest.
    Back(isize),
    Latest,
    Nothing,
}

fn act(key: KeyEvent) -> Act {
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => Act::End,
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Act::End,
        KeyCode::Down | KeyCode::Char('j') => Act::Back(1),
        KeyCode::Up | KeyCode::Char('k') => Act::Back(-1),
        KeyCode::PageDown => Act::Back(10),
        KeyCode::PageUp => Act::Back(-10),
        KeyCode::Home => Act::Latest,
        _ => Act::Nothing,
    }
}

/// Draws all. The latest trial is the first row of the table, unless the reader has scrolled `back`.
fn draw(frame: &mut Frame, glance: &Glance, back: usize, colours: bool) {
    let running = match &glance.running {
        None => 0,
        Some(running) if running.curve.len() > 1 && frame.area().height >= ROOM_FOR_CURVE => WITH_CURVE,
        Some(_) => WITHOUT_CURVE,
    };
    let proposers = glance.proposers.len().min(MOST_PROPOSERS + 1) as u16;
    let trouble = u16::from(glance.trouble.is_some());
    let heights = [1, glance.figures.len() as u16, trouble, running].map(Constraint::Length);
    let [title, figures, troubles, now, trials, accounts, keys] = Layout::vertical(heights.into_iter().chain([
        Constraint::Min(2),
        Constraint::Length(proposers),
        Constraint::Length(1),
    ]))
    .areas(frame.area());
    let (bold, dim) = (Style::new().add_modifier(Modifier::BOLD), Style::new().add_modifier(Modifier::DIM));
    frame.render_widget(Line::styled(glance.title(), bold), title);
    let lines: Vec<Line> = glance.figures.iter().map(|line| Line::raw(line.as_str())).collect();
    frame.render_widget(Paragraph::new(lines), figures);
    if let Some(words) = &glance.trouble {
        frame.render_widget(Line::styled(words.as_str(), bold), troubles);
    }
    if let Some(running) = &glance.running {
        draw_running(frame, now, running, colours);
    }
    draw_trials(frame, trials, glance, back, colours);
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(9),
        Constraint::Length(6),
        Constraint::Length(8),
        Constraint::Length(9),
    ];
    let rows = glance.proposers.iter().take(MOST_PROPOSERS + 1).enumerate();
    let rows = rows.map(|(at, row)| Row::new(row.clone()).style(if at == 0 { dim } else { Style::new() }));
    frame.render_widget(Table::new(rows, widths), accounts);
    frame.render_widget(Line::styled(KEYS, dim), keys);
}

fn draw_running(frame: &mut Frame, area: Rect, running: &Running, colours: bool) {
    let block = Block::bordered().title(format!(" {} ", running.title));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let [bar, words, chart] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Fill(1)]).areas(inside);
    let colour = |colour: Color| if colours { Style::new().fg(colour) } else { Style::new() };
    let percent = format!("{:3.0} %", running.progress * 100.0);
    let gauge = LineGauge::default().filled_symbol("█").unfilled_symbol("░").filled_style(colour(Color::Cyan));
    frame.render_widget(gauge.ratio(running.progress).label(percent), bar);
    frame.render_widget(Line::raw(running.figures.as_str()), words);
    if chart.height < 3 || running.curve.len() < 2 {
        return;
    }
    let losses = || running.curve.iter().map(|(_, loss)| *loss);
    let (low, high) = (losses().fold(f64::INFINITY, f64::min), losses().fold(f64::NEG_INFINITY, f64::max));
    let high = if high > low { high } else { low + 1e-3 };
    let set = Dataset::default()
        .marker(Marker::Braille)
        .graph_type(GraphType::Line)
        .style(colour(Color::Cyan))
        .data(&running.curve);
    let y = Axis::default().bounds([low, high]).labels([format!("{low:.2}"), format!("{high:.2}")]);
    let x = Axis::default().bounds([0.0, 1.0]);
    frame.render_widget(Chart::new(vec![set]).x_axis(x).y_axis(y), chart);
}

fn draw_trials(frame: &mut Frame, area: Rect, glance: &Glance, back: usize, colours: bool) {
    let dim = Style::new().add_modifier(Modifier::DIM);
    let kept = if colours { Style::new().fg(Color::Green) } else { Style::new().add_modifier(Modifier::BOLD) };
    let room = usize::from(area.height.saturating_sub(1));
    let rows = glance.rows.iter().rev().skip(back).take(room);
    let rows = rows.map(|row| Row::new(row.cells.clone()).style(if row.is_kept { kept } else { Style::new() }));
    let widths = WIDTHS.map(Constraint::Length).into_iter().chain([Constraint::Fill(1)]);
    frame.render_widget(Table::new(rows, widths).header(Row::new(HEADS).style(dim)), area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::glance;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn a_night(trials: u64) -> Glance {
        let row = |number: u64| glance::Row {
            number,
            is_kept: number.is_multiple_of(3),
            cells: [
                &number.to_string(),
                "1:05:19",
                "2.5347",
                "−0.0213",
                "3",
                "host-fault",
                "evolve",
                "windows: [64, 0] → [0, 64]",
            ]
            .map(String::from),
        };
        let running = Running {
            title: "#41 smear: a gated share of the token before".into(),
            figures: "random seed 2 · 62 % · step 120 · loss 1.980 · 8 s left".into(),
            progress: 0.62,
            curve: (0..60).map(|at| (f64::from(at) / 100.0, 4.0 / (1.0 + f64::from(at) / 20.0))).collect(),
        };
        Glance {
            night: "night 3".into(),
            state: "under way".into(),
            policy: "overnight".into(),
            standing: None,
            figures: vec![
                "level 2.2075 bits per byte, −12.91 % (began at 2.5347)".into(),
                "champion #39 2.2001: windows: [64, 0] → [0, 64]".into(),
                "trials 40 · kept 13 · repeats 0 · without a score 4".into(),
                "training runs 151 of 20 s · time 1 h 05 min without pauses · proposals $0.12".into(),
            ],
            running: Some(running),
            rows: (1..=trials).map(row).collect(),
            proposers: vec![
                ["proposer", "proposed", "kept", "gain", "cost"].map(String::from),
                ["evolve", "40", "7", "0.3272", "$0.00"].map(String::from),
            ],
            trouble: None,
        }
    }

    fn drawn(glance: &Glance, (width, height): (u16, u16), back: usize) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, glance, back, false)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn a_night_is_drawn() {
        insta::assert_snapshot!(drawn(&a_night(40), (100, 30), 0));
    }

    #[test]
    fn a_small_terminal_has_what_matters() {
        let small = drawn(&a_night(40), (80, 20), 0);
        for words in [
            "night 3",
            "level 2.2075",
            "62 %",
            "8 s left",
            "proposals $0.12",
            "1:05:19",
            "host-fault",
            "40",
            "evolve",
            "q end",
        ] {
            assert!(small.contains(words), "{words}:\n{small}");
        }
        for size in [(1, 1), (2, 40), (200, 3), (20, 5)] {
            drawn(&a_night(40), size, 3);
        }
    }

    #[test]
    fn earlier_trials_are_scrolled_to() {
        let (latest, earlier) = (drawn(&a_night(400), (80, 24), 0), drawn(&a_night(400), (80, 24), 200));
        assert!(latest.contains("\"400 ") && !latest.contains("\"200 "), "{latest}");
        assert!(earlier.contains("\"200 ") && !earlier.contains("\"201 "), "{earlier}");
    }

    #[test]
    fn a_store_without_a_night_says_so() {
        let glance =
            Glance { night: "no night".into(), trouble: Some("there is no store".into()), ..Glance::default() };
        assert!(drawn(&glance, (80, 24), 0).contains("there is no store"));
    }
}
