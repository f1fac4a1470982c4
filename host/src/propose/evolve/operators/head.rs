//! The logits and the loss.

use crate::propose::evolve::edit;
use crate::propose::evolve::operators::arguments::scaled_argument;
use crate::propose::evolve::operators::draft::Draft;
use crate::propose::evolve::operators::guest::{Change, Guest};
use crate::propose::evolve::operators::trunk::{chain, trunk};

/// Another cap of the logits, or one where there is none.
pub fn softcap(guest: &Guest) -> Vec<Change> {
    let mut changes = Vec::new();
    for call in guest.tree.calls_of("softcap") {
        let factors = [0.5, 0.7, 1.5, 2.0];
        let argument = call.node.args.first();
        changes.extend(argument.into_iter().flat_map(|cap| {
            factors.into_iter().filter_map(|f| scaled_argument(guest, cap, ("SOFTCAP", "softcap"), f))
        }));
    }
    let added = || {
        let trunk = trunk(guest)?;
        let logits = trunk.logits()?;
        Draft::new(guest)
            .unless(
                guest.tree.calls_of("softcap").next().is_some() || chain(logits).any(|call| call.method == "sigmoid"),
            )
            .number("SOFTCAP", "15.0", "logits stay within ± this")
            .append(&edit::range(logits), ".softcap(SOFTCAP)")
            .done("softcap of the logits: 15")
    };
    changes.extend(added());
    changes
}

/// LOGIT_SCALE·σ((z + LOGIT_SHIFT)/LOGIT_WIDTH) in the place of a softcap.
pub fn asymmetric_cap(guest: &Guest) -> Vec<Change> {
    let calls: Vec<_> = guest.tree.calls_of("softcap").collect();
    let mut draft = Draft::new(guest)
        .unless(calls.is_empty())
        .number("LOGIT_SCALE", "23.0", "logits lie between 0 and this")
        .number("LOGIT_SHIFT", "5.0", "added to a logit before it is capped")
        .number("LOGIT_WIDTH", "7.5", "how wide the slope of the cap is");
    for call in calls {
        let cap = edit::range(&call.node.receiver).end..call.range.end;
        let rescaled = ".affine(1.0 / LOGIT_WIDTH, LOGIT_SHIFT / LOGIT_WIDTH).sigmoid().affine(LOGIT_SCALE, 0.0)";
        draft = draft.replace(&cap, rescaled);
    }
    draft.done("logits: 23·σ((z + 5)/7.5) in the place of the softcap").into_iter().collect()
}

/// Logits that are small have less loss.
pub fn z_loss(guest: &Guest) -> Vec<Change> {
    let calls: Vec<_> = guest.tree.calls_of("cross_entropy").filter(|call| call.node.args.len() == 1).collect();
    let mut draft = Draft::new(guest).unless(calls.is_empty()).number(
        "Z_LOSS",
        "0.0001",
        "weight of the squared logarithm of the sum of exponentials in the loss",
    );
    for call in calls {
        let arguments = edit::range(&call.node.args[0]);
        draft =
            draft.replace(&edit::range(&call.node.method), "cross_entropy_with").append(&arguments, ", 0.0, Z_LOSS");
    }
    draft.done("z-loss of 0.0001").into_iter().collect()
}

/// No cap of the logits.
pub fn no_softcap(guest: &Guest) -> Vec<Change> {
    let off = guest.tree.calls_of("softcap").map(|call| {
        let place =
            guest.tree.function_at(&call.range).map_or_else(String::new, |f| format!(" in {}", f.signature.ident));
        let method = edit::range(&call.node.receiver).end..call.range.end;
        Draft::new(guest).replace(&method, "").done(format!("softcap{place}: off"))
    });
    off.flatten().collect()
}
