//! What two readings of the files have in common becomes the same `Arc` again.
//!
//! Reading makes everything new, although as a rule one route of thousands was changed. What is served is told
//! apart by pointer, so what did not change is exchanged here for what stood there before: then compiling costs
//! what changed, plans keep their place in their splits, and nothing is held twice.
//!
//! Things are found by identity (an upstream's own, a route's by its first rule's) and compared by value. The neighbour
//! of what was found last is tried first, as most of a file stands in the order it stood in; a table of all is made only
//! when that fails. A route that changed keeps those of its rules that did not.
//!
//! The place a rule is written at is no part of the comparison: a route put in front of all others moves them all and
//! changes none. So `at` of what was kept is that of the reading it came with; the commands that show places to people
//! (`check`, `explain`) read the files anew.
//!
//! Called where the files are read again (`app::reload`), never on a worker: it looks at everything once, some
//! twenty milliseconds for 100,000 routes.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::config::{Gateway, Route, Rule, RuleId};

/// `next`, with everything that is in `previous` too taken from there.
pub fn reuse(previous: &Gateway, mut next: Gateway) -> Gateway {
    let mut known = Known::new(&previous.upstreams, |upstream| Some(&upstream.id));
    for upstream in &mut next.upstreams {
        if let Some(old) = known.find(&upstream.id).filter(|old| *old == upstream) {
            *upstream = Arc::clone(old);
        }
    }
    let mut known = Known::new(&previous.routes, |route| identity(route));
    for route in &mut next.routes {
        let Some(old) = identity(route).and_then(|id| known.find(id)) else { continue };
        if is_same_route(old, route) {
            *route = Arc::clone(old);
        } else {
            *route = Arc::new(with_rules_of(old, route));
        }
    }
    next
}

/// A route without rules answers nothing, and nothing is lost if it is new.
fn identity(route: &Route) -> Option<&RuleId> {
    route.rules.first().map(|rule| &rule.id)
}

fn is_same_route(one: &Route, other: &Route) -> bool {
    let Route { source, hosts, listeners, rules } = one;
    *source == other.source
        && *hosts == other.hosts
        && *listeners == other.listeners
        && rules.len() == other.rules.len()
        && rules.iter().zip(&other.rules).all(|(one, other)| is_same_rule(one, other))
}

/// All but the place.
fn is_same_rule(one: &Rule, other: &Rule) -> bool {
    let Rule { id, name, at: _, matches, priority, action, traffic } = one;
    *id == other.id
        && *name == other.name
        && *matches == other.matches
        && *priority == other.priority
        && *action == other.action
        && *traffic == other.traffic
}

/// A changed route with those of its rules that did not change.
fn with_rules_of(old: &Route, new: &Route) -> Route {
    let mut known = Known::new(&old.rules, |rule| Some(&rule.id));
    let mut route = new.clone();
    for rule in &mut route.rules {
        if let Some(old) = known.find(&rule.id).filter(|old| is_same_rule(old, rule)) {
            *rule = Arc::clone(old);
        }
    }
    route
}

/// Things of before, to be found by identity.
struct Known<'a, T, I, F> {
    list: &'a [Arc<T>],
    identity: F,
    /// Where the next one probably is.
    cursor: usize,
    /// Made when the cursor is wrong for the first time.
    places: Option<HashMap<&'a I, usize>>,
}

impl<'a, T, I: Hash + Eq, F: Fn(&'a T) -> Option<&'a I>> Known<'a, T, I, F> {
    fn new(list: &'a [Arc<T>], identity: F) -> Self {
        Self { list, identity, cursor: 0, places: None }
    }

    fn find(&mut self, id: &I) -> Option<&'a Arc<T>> {
        let (list, identity) = (self.list, &self.identity);
        let is_next = list.get(self.cursor).is_some_and(|next| identity(next) == Some(id));
        let index = if is_next {
            self.cursor
        } else {
            let entry = |(index, thing): (usize, &'a Arc<T>)| identity(thing).map(|id| (id, index));
            let places = self.places.get_or_insert_with(|| list.iter().enumerate().filter_map(entry).collect());
            match places.get(id) {
                Some(&index) => index,
                None => {
                    // Probably changed, and what follows stands where it stood.
                    self.cursor += 1;
                    return None;
                }
            }
        };
        self.cursor = index + 1;
        list.get(index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parse;
    use super::*;

    /// Of each route the host and, for each rule, the path and what of it may change: its server and a timeout.
    fn read(routes: &[(usize, Vec<(usize, usize)>)]) -> Gateway {
        let mut text = "routes:\n".to_owned();
        for (host, rules) in routes {
            text.push_str(&format!("  - hosts: [h{host}.example.com]\n    rules:\n"));
            for (path, server) in rules {
                let backends = format!("backends: [http://10.0.0.{server}:80]");
                let timeouts = format!("timeouts: {{idle: {}s}}", server + 1);
                text.push_str(&format!("      - path: /p{path}\n        {backends}\n        {timeouts}\n"));
            }
        }
        if routes.is_empty() {
            text = "routes: []\n".to_owned();
        }
        parse(&[("sluice.yaml".to_owned(), text)]).expect("a good file").gateway
    }

    fn routes() -> impl Strategy<Value = Vec<(usize, Vec<(usize, usize)>)>> {
        let rules = proptest::collection::btree_map(0_usize..4, 0_usize..2, 1..4);
        let routes = proptest::collection::btree_map(0_usize..8, rules, 0..8);
        let in_some_order = routes.prop_map(|routes| {
            routes.into_iter().map(|(host, rules)| (host, rules.into_iter().collect())).collect::<Vec<_>>()
        });
        in_some_order.prop_shuffle()
    }

    /// Without places.
    fn shown(gateway: &Gateway) -> Gateway {
        let mut gateway = gateway.clone();
        for route in &mut gateway.routes {
            let route = Arc::make_mut(route);
            route.rules.iter_mut().for_each(|rule| Arc::make_mut(rule).at.clear());
        }
        gateway
    }

    fn same<T>(list: &[Arc<T>], thing: &Arc<T>) -> bool {
        list.iter().any(|other| Arc::ptr_eq(other, thing))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn nothing_is_different_and_what_was_there_is_the_very_same(before in routes(), after in routes()) {
            let (old, fresh) = (read(&before), read(&after));
            let next = reuse(&old, fresh.clone());
            prop_assert_eq!(shown(&next), shown(&fresh));
            for upstream in &next.upstreams {
                let was_there = old.upstreams.iter().any(|other| **other == **upstream);
                prop_assert_eq!(same(&old.upstreams, upstream), was_there);
            }
            for (route, text) in next.routes.iter().zip(&after) {
                // A route is looked for by its first rule.
                let was_there = before.iter().any(|other| other == text);
                prop_assert_eq!(same(&old.routes, route), was_there);
                let earlier = before.iter().find(|other| other.0 == text.0 && other.1[0].0 == text.1[0].0);
                let old_rules: Vec<Arc<Rule>> = old.routes.iter().flat_map(|route| route.rules.clone()).collect();
                for (rule, wrote) in route.rules.iter().zip(&text.1) {
                    let stays = earlier.is_some_and(|earlier| earlier.1.contains(wrote));
                    prop_assert_eq!(same(&old_rules, rule), stays);
                }
            }
        }
    }

    #[test]
    fn a_route_in_front_of_all_others_leaves_them_what_they_are() {
        let before: Vec<_> = (1..50).map(|host| (host, vec![(1, 1)])).collect();
        let mut after = before.clone();
        after.insert(0, (0, vec![(1, 1)]));
        let old = read(&before);
        let next = reuse(&old, read(&after));
        assert!(next.routes.iter().skip(1).zip(&old.routes).all(|(next, old)| Arc::ptr_eq(next, old)));
        assert!(next.upstreams.iter().skip(1).zip(&old.upstreams).all(|(next, old)| Arc::ptr_eq(next, old)));
    }
}
