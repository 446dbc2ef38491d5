//! Which peers have which history, and who is forked.

use super::{Net, key, name};

/// Orders as points and the branch of each peer, minute by minute, and what is found in the end:
/// the histories with the heaviest first, a star at the majority, the first block of each fork, and
/// who could not be compared.
///
/// `d=50:40:30@20`: d has 50 blocks, 40 with consensus, 30 final ones, and from the block 20 on its
/// own. `x` after `@20` means blocks of x. A number is minutes, with fractions.
const TABLE: &str = "
| peers                     | what happens                             | found
# One history.
| a25 b25 c25 d25           | 1                                        | abcd*
| a25 b25 c25 d25           | d=50:40:30 1                             | abcd*
# Proposals differ.
| a25 b25 c25 d25           | d=103:100:100@101d 3                     | abcd*
# Below finality of both a difference is a fork at once.
| a25 b25 c25 d25           | d=50:50:21@20d 1                         | abc* d@20
| a25 b25 c25 d25           | d=50:50:20@20d 1                         | abcd*
# Below consensus it takes two walks a minute apart that find the same.
| a25 b25 c25 d25           | d=50:21:20@20d 1 1                       | abc* d@20
| a25 b25 c25 d25           | d=50:21:20@20d 1 0.5                     | abcd*
| a25 b25 c25 d25           | d=50:21:20@20d 1 d=50:21:19@19d 1        | abcd*
| a25 b25 c25 d25           | d=50:21:20@20d 1 d=101:101:101 1 d=50:21:20@20d 1 | abcd*
| a25 b25 c25 d25           | d=50:20:20@20d 1 1 1                     | abcd*
# The smaller side is forked, whoever reaches further.
| a25 b25 c25 d25           | d=500:500:500@20d 1                      | abc* d@20
# Halves: nobody is accused.
| a25 b25 c25 d25           | c=90:90:90@20c d=90:90:90@20c 1          | ab cd@20
| a50 b50                   | b=90:90:90@20b 1                         | a b@20
# A third history, and one that leaves a minority.
| a25 b25 c25 d15 e10       | d=90:90:90@20d e=90:90:90@40e 1          | abc* d@20 e@40
| a25 b25 c30 d10 e10       | d=90:90:90@20d e=90:90:90@20d 1          | cab* de@20
# An order that ends before the fork can belong to either side.
| a25 b25 c25 d25           | c=90:90:90@20c d=15:15:15 1              | ab c@20 ?d
# Who is not walked is placed by what others hold.
| a30 b30 c20* d20          | 1                                        | abcd*
# What could not be read proves nothing.
| a25 b25 c25 d25           | incomparable d=90:90:90@20d 1            | abc* ?d
# A fork stays until the same history is shown beyond it.
| a25 b25 c25 d25           | d=50:50:30@20d 1 incomparable d=60:60:30@20d 1 | abc* d@20
| a25 b25 c25 d25           | d=50:50:30@20d 1 d=0:0:0 1               | abc* d@20
| a25 b25 c25 d25           | d=50:50:30@20d 1 d=20:20:20 1            | abc* d@20
| a25 b25 c25 d25           | d=50:50:30@20d 1 d=21:21:20 1            | abcd*
| a25 b25 c25 d25           | d=50:50:30@20d 1 d=90:90:90 1            | abcd*
# A peer that is not read any more is gone after three minutes.
| a25 b25 c25 d25           | d=50:50:30@20d mute 1 fails:d 2          | abc* d@20
| a25 b25 c25 d25           | d=50:50:30@20d mute 1 fails:d 3          | abc*
# Strangers without effective stake have no part in it.
| a25 b25 c25 d25 e0        | e=90:90:90@20e 1                         | abcd*
# A fork of most of the stake.
| a25 b25 c25 d25           | b=90:90:90@20b c=90:90:90@20b d=90:90:90@20b 1 | bcd* a@20
";

/// Replaces the order of a peer as a word such as `d=50:40:30@20d` says.
fn sign(net: &mut Net, peer: char, order: &str) {
    let (points, branch) = order.split_once('@').unwrap_or((order, ""));
    let points: Vec<i64> = points.split(':').map(|it| it.parse().unwrap()).collect();
    let [block, consensus, finality] = points[..] else {
        panic!("{order}");
    };
    let branch = branch.chars().last().map(|of| {
        let index = branch.trim_end_matches(of).parse().unwrap();
        (index, of)
    });
    net.sign(peer, [block, block, consensus, finality], branch);
}

fn run(peers: &str, script: &str) -> String {
    let mut net = Net::new(peers);
    for word in script.split(' ') {
        if let Some((peer, order)) = word.split_once('=') {
            sign(&mut net, peer.chars().next().unwrap(), order);
        } else if let Some(peer) = word.strip_prefix("fails:") {
            net.peer(peer.chars().next().unwrap()).fails = true;
        } else if word == "incomparable" {
            net.incomparable = true;
        } else if word == "mute" {
            // What the others hold is what they held.
            net.peer('d').is_heard = false;
            net.peers.values_mut().for_each(|peer| {
                if peer.order.facts.key != key('d') {
                    peer.held.remove(&'d');
                }
            });
        } else {
            let minutes: f64 = word.parse().unwrap();
            if minutes < 1.0 {
                net.pass(minutes);
            } else {
                (0..word.parse().unwrap()).for_each(|_| net.round());
            }
        }
    }
    found(&net)
}

fn found(net: &Net) -> String {
    let histories = net.verdict().histories.expect("orders were compared");
    let names = |keys: &[cad3::Hash]| keys.iter().map(name).collect::<String>();
    let groups = histories.groups.iter().map(|group| {
        let majority = if group.is_majority { "*" } else { "" };
        let fork = group.fork.as_ref().map(|fork| format!("@{}", fork.block));
        format!(
            "{}{majority}{}",
            names(&group.peers),
            fork.unwrap_or_default()
        )
    });
    let unknown = Some(names(&histories.not_compared)).filter(|names| !names.is_empty());
    let unknown = unknown.map(|names| format!("?{names}"));
    groups.chain(unknown).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_fork_is_a_difference_below_what_both_sides_have_agreed_on() {
    let rows = TABLE.lines().filter_map(|line| line.strip_prefix("| "));
    for row in rows.skip(1) {
        let columns: Vec<&str> = row.split(" | ").map(str::trim).collect();
        let [peers, script, expected] = columns[..] else {
            panic!("{row}");
        };
        assert_eq!(run(peers, script), expected, "{row}");
    }
}

#[test]
fn nobody_is_forked_without_a_majority_and_the_smaller_side_is_with_one() {
    for (peers, expected) in [
        ("a25 b25 c25 d25", vec![]),
        ("a26 b25 c25 d24", vec!["c:forked", "d:forked"]),
        ("a25 b25 c25 d25 e1*", vec![]),
    ] {
        let mut net = Net::new(peers);
        for peer in ['c', 'd'] {
            net.sign(peer, [90; 4], Some((20, 'c')));
        }
        if peers.ends_with('*') {
            net.peers.values_mut().for_each(|peer| {
                peer.held.remove(&'e');
            });
            net.peer('e').is_heard = false;
        }
        net.round();
        let forked = net.accused();
        assert_eq!(forked, expected, "{peers}");
    }
}

#[test]
fn the_blocks_of_a_fork_stand_in_the_order_of_the_histories() {
    // The peer that is forked reaches further, so it was on the left of the comparison.
    let mut net = Net::new("a25 b25 c25 d25");
    net.sign('d', [500; 4], Some((20, 'd')));
    net.round();
    let fork = net.verdict().histories.unwrap().fork.unwrap();
    let blocks = |peer: char| net.peers[&peer].order.facts.blocks;
    let hashes = fork.blocks.each_ref().map(|block| block.hash);
    assert_eq!(hashes, [blocks('a'), blocks('d')]);
}

#[test]
fn orders_of_unwatched_peers_count_for_the_majority() {
    let mut net = Net::new("a25 b25* c25* d25");
    net.sign('d', [90; 4], Some((20, 'd')));
    net.round();
    assert_eq!(found(&net), "abc* d@20");
    assert_eq!(net.verdict().histories.unwrap().compared_stake, Some(1.0));
}
