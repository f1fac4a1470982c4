//! The report of a night in a real browser. Skipped where there is no Chromium.

use crate::common::browser::{Browser, Look};
use crate::common::home::{Home, said};
use std::path::PathBuf;

/// A name that would run a script, leave its element, or turn the text around.
const HOSTILE: &str =
    "</script><img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script>\u{1b}[31m\u{202e}'\"&lt;";

/// The report of a night, in a folder of its own. With `hostile`, its trials have hostile names.
fn page(to: &str, hostile: bool) -> PathBuf {
    let (home, _) = Home::after_a_night();
    let store = home.copy_of_store(&format!("store-of-{to}"));
    if hostile {
        let index = crate::common::home::index(&store);
        let sql = "UPDATE trials SET description = ?1, proposer = ?1, operator = ?1, reason = ?1, hypothesis = ?1";
        index.execute(sql, [HOSTILE]).unwrap();
    }
    let made = home.host(&["report", "--store", store.to_str().unwrap(), "--to", to]);
    assert!(made.status.success(), "{}", said(&made));
    home.path(to).join("report.html")
}

#[test]
fn tables_are_sorted_and_filtered() {
    let Some(mut browser) = Browser::open(&page("sorted", false), Look::DESK) else { return };
    browser.shoot("desk");
    let numbers = "[...document.querySelectorAll('#all tbody tr')].filter((row) => !row.hidden)
        .map((row) => Number(row.cells[0].dataset.figure))";
    let head = "document.querySelector('#all thead th button')";
    let before = browser.value(numbers);
    browser.value(&format!("{head}.click()"));
    assert_eq!(browser.value(&format!("{head}.parentElement.getAttribute('aria-sort')")), "ascending");
    assert_eq!(browser.value(numbers), before);
    // With the keyboard.
    browser.value(&format!("{head}.focus()"));
    browser.press("Enter");
    assert_eq!(browser.value(&format!("{head}.parentElement.getAttribute('aria-sort')")), "descending");
    let turned: Vec<_> = before.as_array().unwrap().iter().rev().cloned().collect();
    assert_eq!(browser.value(numbers), serde_json::Value::from(turned));

    let filter = |words: &str| {
        format!(
            "words.value = '{words}'; words.dispatchEvent(new Event('input', {{ bubbles: true }})); count.textContent"
        )
    };
    let all = before.as_array().unwrap().len();
    assert_eq!(browser.value(&filter("no such words")), format!("0 of {all}"));
    assert_eq!(browser.value(&filter("")), format!("{all} of {all}"));
    let chosen = "verdict.selectedIndex = 1; verdict.dispatchEvent(new Event('input', { bubbles: true }));
        [...document.querySelectorAll('#all tbody tr')]
        .every((row) => row.hidden === (row.className !== verdict.value))";
    assert_eq!(browser.value(chosen), true);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_axis_is_chosen_without_a_script() {
    let page = page("axis", false);
    for has_scripts in [true, false] {
        let look = Look { has_scripts, ..Look::DESK };
        let Some(mut browser) = Browser::open(&page, look) else { return };
        let shown = "[...document.querySelectorAll('.plot')].filter((plot) => plot.checkVisibility())
            .map((plot) => plot.className)";
        assert_eq!(browser.value(shown), serde_json::json!(["wide plot trial"]));
        browser.value("document.getElementById('by-time').click()");
        assert_eq!(browser.value(shown), serde_json::json!(["wide plot time"]));
        assert_eq!(browser.value("document.querySelectorAll('#all tbody tr').length > 0"), true);
        assert_eq!(browser.value("document.getElementById('filter').hidden"), !has_scripts);
    }
}

#[test]
fn a_trial_opens_its_details() {
    let Some(mut browser) = Browser::open(&page("details", false), Look::DESK) else { return };
    browser.value("document.querySelector('#t1 a').click()");
    assert_eq!(browser.value("details.open && document.activeElement.id"), "details-heading");
    browser.shoot("details");
    for heading in ["What it changes of", "Loss in training", "Where its budget goes", "Its dearest lines", "Runs"] {
        let has = format!("[...details.querySelectorAll('h3')].some((h) => h.textContent.startsWith('{heading}'))");
        assert_eq!(browser.value(&has), true, "{heading}");
    }
    // The source, put together from changes, is the one that was stored.
    let (home, _) = Home::after_a_night();
    let log = crate::common::home::trials(&home.host(&["log", "--json"]));
    let key = log[0]["source_key"].as_str().unwrap();
    let source = said(&home.host(&["show", key]));
    let shown = browser.value("[...details.querySelectorAll('details pre')].at(-1).textContent");
    assert!(source.contains(shown.as_str().unwrap().trim_end()), "{shown}\n{source}");
    browser.press("Escape");
    assert_eq!(browser.value("details.open"), false);
    // From the picture too.
    browser.value(
        "document.querySelector('.plot [data-trial]').dispatchEvent(new MouseEvent('click', { bubbles: true }))",
    );
    assert_eq!(browser.value("details.open"), true);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn hostile_names_stay_text() {
    let Some(mut browser) = Browser::open(&page("hostile", true), Look::DESK) else { return };
    browser.value("document.querySelector('#t1 a').click()");
    browser.shoot("hostile");
    assert_eq!(browser.value("typeof window.hacked"), "undefined");
    assert_eq!(browser.value("document.querySelectorAll('img').length"), 0);
    let visible = "</script><img src=x onerror=\\\"window.hacked=1\\\"><script>";
    for place in ["#t1", "#details", "#lineage", "#path", "#search"] {
        let has = format!("document.querySelector('{place}').textContent.includes(\"{visible}\")");
        assert_eq!(browser.value(&has), true, "{place}");
    }
    // What was not escaped would still not run: a script and a style that are put in are refused.
    browser.value(
        "(() => { const script = document.createElement('script'); script.textContent = 'window.hacked = 2';
          document.body.append(script); document.body.setAttribute('style', 'color: red'); })()",
    );
    assert_eq!(browser.value("typeof window.hacked"), "undefined");
    assert_ne!(browser.value("getComputedStyle(document.body).color"), "rgb(255, 0, 0)");
}

/// What moved the score, what the sealed test says, and when runs ran.
#[test]
fn the_search_has_its_pictures() {
    let Some(mut browser) = Browser::open(&page("pictures", false), Look::DESK) else { return };
    let headings = "[...document.querySelectorAll('#search h3')].map((heading) => heading.textContent)";
    let wanted = ["What moved the score", "Sealed test against search", "When runs ran"];
    assert_eq!(browser.value(headings), serde_json::json!(wanted));
    // Each effect has its interval, and a bar that is seen.
    let rows =
        "[...document.querySelectorAll('#moved tbody tr')].every((row) => row.cells[2].textContent.includes(' … ')
        && row.querySelector('svg > :last-child').getBoundingClientRect().width > 4)";
    assert_eq!(browser.value(rows), true);
    assert_eq!(browser.value("document.querySelectorAll('#moved tbody tr').length > 0"), true);
    // The night has read the test for its champion and the baseline.
    let read = "[...document.querySelectorAll('#sealed tbody tr')].map((row) => row.cells[3].textContent !== '–')";
    let read = browser.value(read);
    let read = read.as_array().unwrap();
    assert!(read.len() > 1 && read[0] == true && read[read.len() - 1] == true, "{read:?}");
    // A bar is as long as its run, has the words of its trial, and opens it.
    let (home, _) = Home::after_a_night();
    let log = crate::common::home::trials(&home.host(&["log", "--json"]));
    let kept = log.iter().find(|trial| trial["verdict"] == "keep").unwrap()["number"].clone();
    let bar = format!("document.querySelector('.lanes path.better[data-trial=\"{kept}\"]')");
    assert_eq!(browser.value(&format!("{bar}.getBoundingClientRect().width >= 1")), true);
    let words = browser.value(&format!("{bar}.textContent"));
    assert!(words.as_str().unwrap().starts_with(&format!("#{kept} keep, ")), "{words}");
    browser.value(&format!("{bar}.dispatchEvent(new MouseEvent('click', {{ bubbles: true }}))"));
    assert_eq!(browser.value("details.open"), true);
    let heading = browser.value("document.getElementById('details-heading').textContent");
    assert!(heading.as_str().unwrap().contains(&format!("{kept}")), "{heading}");
    browser.value("details.close()");
    // On a phone too, the page is as wide as the screen.
    browser.look(Look::PHONE);
    assert_eq!(browser.value("document.documentElement.scrollWidth <= window.innerWidth"), true);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn narrow_screens_and_dark_ones() {
    let Some(mut browser) = Browser::open(&page("narrow", false), Look::PHONE) else { return };
    assert_eq!(browser.value("document.documentElement.scrollWidth <= window.innerWidth"), true);
    browser.shoot("phone");
    browser.value("document.querySelector('#t1 a').click()");
    assert_eq!(browser.value("details.getBoundingClientRect().right <= window.innerWidth"), true);
    browser.shoot("phone-details");
    browser.value("details.close(); document.getElementById('trials').scrollIntoView({ behavior: 'instant' })");
    browser.shoot("phone-trials");
    let paper = "getComputedStyle(document.body).backgroundColor";
    assert_eq!(browser.value(paper), "rgb(255, 255, 255)");
    browser.look(Look { is_dark: true, ..Look::DESK });
    assert_eq!(browser.value(paper), "rgb(13, 17, 23)");
    browser.value("document.getElementById('search').scrollIntoView({ behavior: 'instant' })");
    browser.shoot("dark-search");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
