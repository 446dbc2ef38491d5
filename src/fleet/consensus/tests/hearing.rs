//! Who is isolated or unheard, and who is not although it lacks orders.

use super::{Net, key};

/// What happens, minute by minute, and who is accused in the end. Nobody else may ever be accused.
///
/// `busy` and `idle`: whether blocks are made. `deaf:d` hears nobody, `mute:d` is heard by nobody,
/// `ab|cd` are groups that do not hear each other, `heal` ends that. A number is minutes.
const TABLE: &str = "
| peers               | what happens                          | accused
# Healthy.
| a25 b25 c25 d25     | busy 20                               | -
| a25 b25 c25 d25     | idle 20                               | -
| a50 b50             | busy 20                               | -
| a25 b25 c25 d25     | idle 10 busy 10 idle 10 busy 10       | -
| a50 b25 c25*        | busy 20                               | -
# Cut off while blocks are made.
| a25 b25 c25 d25     | busy 8 deaf:d mute:d 8                | d:isolated
| a25 b25 c25 d25     | busy 8 deaf:d 8                       | d:isolated
| a25 b25 c25 d25     | busy 8 mute:d 8                       | d:unheard
| a25 b25 c25 d25     | busy 8 deaf:d mute:d 8 heal 1         | -
| a25 b25 c25 d25     | busy 8 mute:d 8 heal 1                | -
| a25 b25 c25 d25     | busy 8 deaf:d fails:d 8               | -
| a25 b25 c25 d25     | busy 8 mute:d fails:d 8               | -
# A few peers that are missed by one are a third of the stake, or they are not.
| a40 b30 c30         | busy 8 mute:a 8                       | b:- c:- a:unheard
| a10 b30 c30 d30     | busy 8 mute:a 8                       | a:unheard
# From before the first block that the agent saw. Nothing that they signed has reached the others.
| a25 b25 c25 d25     | never:d idle 12                       | d:isolated d:unheard
# It takes five minutes, an order that is a minute old, and two walks.
| a25 b25 c25 d25     | never:d idle 6                        | -
| a25 b25 c25 d25     | busy 8 deaf:d 2                       | -
# After the network fell silent nobody can tell.
| a25 b25 c25 d25     | idle 8 deaf:d mute:d 12               | -
# Of two peers that do not hear each other nobody can say whose fault that is.
| a50 b50             | busy 8 a|b 8                          | a:isolated a:unheard b:isolated b:unheard
# Two against two: each hears a third of the others, and is heard by a third.
| a25 b25 c25 d25     | busy 8 ab|cd 8                        | a:isolated b:isolated c:isolated d:isolated
| a20 b20 c20 d20 e20 | busy 8 abcd|e 8                       | e:isolated e:unheard
# One walk finds little: a restart, and a peer that has to hear the others first.
| a25 b25 c25 d25     | busy 8 deaf:d empty:d 1 heal 5        | -
| a25 b25 c25 d25     | idle 8 deaf:d empty:d 1 heal 5        | -
# Empty store: what it knows of the others it has to read first, and its order is short.
| a25 b25 c25 d25     | busy 8 wipe:d 1 heal 8                | -
# Newly registered: its state, and the states of others, do not have all at once.
| a25 b25 c25 d25     | busy 8 join:e25 12                    | -
| a25 b25 c25 d25     | busy 8 join:e25 deaf:e empty:e 4      | -
| a25 b25 c25 d25     | busy 8 join:e25 deaf:e empty:e 12     | e:isolated
| a25 b25 c25 d25     | busy 8 lacks:de join:e25 12           | -
| a25 b25 c25 d25     | busy 8 join:e25 mute:e 4              | -
# Strangers without effective stake.
| a25 b25 c25 d25     | busy 8 join:e0 deaf:e mute:e empty:e 12 | -
# Clocks.
| a25 b25 c25 d25     | busy 8 ahead:d mute:d 8               | -
| a25 b25 c25 d25     | busy 8 behind:d 8                     | -
# Behind in executing, but it hears.
| a25 b25 c25 d25     | busy 8 stands:d 12                    | -
# Others drop the orders of a peer that is behind.
| a25 b25 c25 d25     | busy 8 lags:d40 12                    | -
| a25 b25 c25 d25     | busy 8 lags:d40 mute:d 12             | -
| a25 b25 c25 d25     | busy 8 lags:d4 mute:d 12              | -
";

fn run(peers: &str, script: &str, allowed: &[&str]) -> Vec<String> {
    let mut net = Net::new(peers);
    for word in script.split(' ') {
        if let Ok(minutes) = word.parse::<usize>() {
            for minute in 1..=minutes {
                net.round();
                let accused = net.accused();
                // What is over takes a walk to be seen.
                let is_allowed = |it: &String| allowed.is_empty() || allowed.contains(&it.as_str());
                assert!(
                    accused.iter().all(is_allowed),
                    "{peers}, {script}: {accused:?} after {minute} minutes"
                );
            }
            continue;
        }
        apply(&mut net, word);
    }
    net.accused()
}

fn apply(net: &mut Net, word: &str) {
    let (verb, peer) = word.split_once(':').unwrap_or((word, ""));
    let mut letters = peer.chars();
    let name = letters.next().unwrap_or_default();
    match verb {
        "busy" => net.is_busy = true,
        "idle" => net.is_busy = false,
        "deaf" => net.peer(name).hears = false,
        "mute" => net.peer(name).is_heard = false,
        "fails" => net.peer(name).fails = true,
        "stands" => net.peer(name).lag = None,
        "lags" => net.peer(name).lag = Some(letters.as_str().parse().unwrap()),
        "ahead" => net.peer(name).ahead = 3600,
        "behind" => net.peer(name).behind = 4,
        "empty" => net.peer(name).held.retain(|of, _| *of == name),
        "never" => {
            (net.peer(name).hears, net.peer(name).is_heard) = (false, false);
            net.peer(name).held.retain(|of, _| *of == name);
            net.peers.values_mut().for_each(|peer| {
                if peer.order.facts.key != key(name) {
                    peer.held.remove(&name);
                }
            });
        }
        "wipe" => {
            net.sign(name, [0; 4], None);
            net.peer(name).hears = false;
            net.peer(name).held.clear();
        }
        "join" => net.add(name, letters.as_str().parse().unwrap(), true, 0),
        "lacks" => {
            let other = letters.next().unwrap();
            net.peer(name).lacks.insert(other);
        }
        "heal" => {
            net.groups.clear();
            for peer in net.peers.values_mut() {
                (peer.hears, peer.is_heard) = (true, true);
            }
        }
        groups if groups.contains('|') => {
            net.groups = groups.split('|').map(str::to_owned).collect();
        }
        _ => panic!("{word}"),
    }
}

#[test]
fn only_a_peer_that_should_hold_orders_and_does_not_is_cut_off() {
    let rows = TABLE.lines().filter_map(|line| line.strip_prefix("| "));
    for row in rows.skip(1) {
        let columns: Vec<&str> = row.splitn(3, " | ").map(str::trim).collect();
        let [peers, script, accused] = columns[..] else {
            panic!("{row}");
        };
        let expected: Vec<&str> = accused
            .split(' ')
            .filter(|word| !word.ends_with('-'))
            .collect();
        let heals = script.contains("heal");
        let allowed: &[&str] = if expected.is_empty() && !heals {
            &["nobody"]
        } else {
            &expected
        };
        assert_eq!(run(peers, script, allowed), expected, "{row}");
    }
}
