//! The endpoints of an upstream at one moment, and which of them goes next.
//!
//! An endpoint can be picked if it has weight, was not tried for this request, and is usable: its health lets it, its
//! breaker lets it, it has room. If nobody is left but those already tried, they are asked again. If health and
//! breakers together keep everybody out, health is ignored ("panic"): servers that are called ill are better than an
//! outage. A breaker is obeyed all the same, as it protects the servers and not the clients. Who has no room does not
//! make a panic: it works.
//!
//! Looking is free of locks; the last step, [`LiveEndpoint::admit`], takes what is counted (a breaker's trial, a
//! request's place), and who loses that race looks again without that endpoint.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{EndpointId, EndpointState, Upstream, UpstreamSettings};
use crate::health;
use crate::lb::{self, Ask, Balancer, Candidates, Zoned};

use super::endpoint::LiveEndpoint;
use super::permit::Taken;
use super::{Choice, LiveUpstream, Permit};

/// The endpoints of an upstream at one moment, with its settings.
#[derive(Debug)]
pub struct EndpointSet {
    described: Arc<Upstream>,
    members: Vec<Member>,
    /// No active endpoint is left: draining ones serve.
    uses_draining: bool,
    /// By the number of the choice.
    balancers: Vec<Option<Arc<dyn Balancer>>>,
}

/// An endpoint as a member of a set.
#[derive(Clone, Debug)]
pub struct Member {
    /// The living thing.
    pub endpoint: Arc<LiveEndpoint>,
    /// Share of requests.
    pub weight: u32,
    /// Whether new work may go there.
    pub state: EndpointState,
    /// Where it stands, if that is known.
    pub zone: Option<Arc<str>>,
}

/// Why no endpoint can be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoEndpoint {
    /// There is none.
    Empty,
    /// All are unhealthy.
    Unhealthy,
    /// All breakers are open; the first may let somebody through after this.
    CircuitOpen(Duration),
    /// All have as much as they may get.
    Full,
}

/// Where a request is not to go.
#[derive(Clone, Copy, Debug)]
pub struct Avoided<'a> {
    /// Tried in vain; asked again if nobody else is left.
    pub tried: &'a [Arc<LiveEndpoint>],
    /// Have as many connections as they may have.
    pub crowded: &'a [Arc<LiveEndpoint>],
}

/// With slow start, weights are reckoned in hundredths.
const HUNDREDTHS: u32 = 100;

impl EndpointSet {
    pub(super) fn empty(described: Arc<Upstream>) -> Self {
        Self { described, members: Vec::new(), uses_draining: false, balancers: Vec::new() }
    }

    /// With a balancer for each choice; those of the old set hand on where they stand.
    pub(super) fn new(
        described: Arc<Upstream>,
        members: Vec<Member>,
        choices: &[Option<Arc<Choice>>],
        old: &EndpointSet,
        zone: Option<&str>,
    ) -> Self {
        let is_active = |member: &Member| member.state == EndpointState::Active && member.weight > 0;
        let uses_draining = !members.iter().any(is_active);
        let mut set = Self { described, members, uses_draining, balancers: Vec::new() };
        set.balancers = choices
            .iter()
            .enumerate()
            .map(|(number, choice)| {
                let earlier = old.balancers.get(number).and_then(Option::as_deref);
                choice.as_ref().map(|choice| set.balancer(choice, earlier, zone))
            })
            .collect();
        set
    }

    /// The same with a balancer for one more choice.
    pub(super) fn with_choice(&self, choice: &Choice, zone: Option<&str>) -> Self {
        let mut balancers = self.balancers.clone();
        if balancers.len() <= choice.number() {
            balancers.resize(choice.number() + 1, None);
        }
        if let Some(place) = balancers.get_mut(choice.number()) {
            *place = Some(self.balancer(choice, None, zone));
        }
        Self {
            described: Arc::clone(&self.described),
            members: self.members.clone(),
            uses_draining: self.uses_draining,
            balancers,
        }
    }

    /// `zone`: where we run.
    fn balancer(&self, choice: &Choice, earlier: Option<&dyn Balancer>, zone: Option<&str>) -> Arc<dyn Balancer> {
        let members: Vec<lb::Member<'_>> = self
            .members
            .iter()
            .map(|member| lb::Member { id: member.endpoint.id().as_str(), weight: self.share(member) })
            .collect();
        let changes = self.settings().slow_start.is_some();
        let balancer: Box<dyn Balancer> = match zone.filter(|_| choice.prefers_zone(&self.described)) {
            Some(own) => {
                let zones: Vec<Option<&str>> = self.members.iter().map(|member| member.zone.as_deref()).collect();
                Box::new(Zoned::new(choice.algorithm(), &members, &zones, own, changes))
            }
            None => lb::balancer(choice.algorithm(), &members, changes),
        };
        if let Some(earlier) = earlier {
            balancer.adopt(earlier);
        }
        Arc::from(balancer)
    }

    /// Knowledge about these servers.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.described.settings
    }

    /// What it was made from.
    pub fn described(&self) -> &Arc<Upstream> {
        &self.described
    }

    /// All of them, those too that get nothing new.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The endpoint that goes next, another one than those already tried if there is one, with leave to try it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn pick(
        &self,
        of: &Arc<LiveUpstream>,
        choice: &Choice,
        ask: Ask,
        tried: &[Arc<LiveEndpoint>],
        now: Instant,
    ) -> Result<Permit, NoEndpoint> {
        self.pick_apart_from(of, choice, ask, &Avoided { tried, crowded: &[] }, now)
    }

    /// The same where some endpoints turned out to have no place for another connection.
    ///
    /// # Errors
    /// Why there is none.
    pub fn pick_apart_from(
        &self,
        of: &Arc<LiveUpstream>,
        choice: &Choice,
        ask: Ask,
        avoided: &Avoided<'_>,
        now: Instant,
    ) -> Result<Permit, NoEndpoint> {
        let balancer = self.balancers.get(choice.number()).and_then(Option::as_deref).ok_or(NoEndpoint::Empty)?;
        if !of.room.has_room(&self.settings().limits) {
            return Err(NoEndpoint::Full);
        }
        let mut look = Look { set: self, avoided: *avoided, lost: Vec::new(), obeys_health: !self.is_panic(now), now };
        // Each turn rules one more endpoint out.
        for _ in 0..=self.members.len() {
            let Some(index) = look.next(balancer, ask) else { break };
            let Some(member) = self.members.get(index) else { break };
            match member.endpoint.admit(self.settings(), now) {
                Some(taken) => return Ok(self.permit(of, member, taken)),
                None => look.lost.push(index),
            }
        }
        Err(self.why_none(now))
    }

    fn permit(&self, of: &Arc<LiveUpstream>, member: &Member, taken: Taken) -> Permit {
        Permit::new(Arc::clone(of), Arc::clone(&member.endpoint), taken)
    }

    pub(super) fn find(&self, id: &EndpointId) -> Option<&Arc<LiveEndpoint>> {
        self.members.iter().map(|member| &member.endpoint).find(|endpoint| endpoint.id() == id)
    }

    /// What a member gets beside the others, apart from slow start.
    fn share(&self, member: &Member) -> u32 {
        if self.uses_draining || member.state == EndpointState::Active { member.weight } else { 0 }
    }

    fn in_use(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| self.share(member) > 0)
    }

    /// Those in use besides one.
    pub(super) fn others<'s>(&'s self, endpoint: &'s LiveEndpoint) -> impl Iterator<Item = &'s LiveEndpoint> {
        self.in_use().map(|member| &*member.endpoint).filter(|other| !std::ptr::eq(*other, endpoint))
    }

    /// Whether so few are healthy that health is ignored. With the usual 1 % that is asked only when nobody is left.
    fn is_panic(&self, now: Instant) -> bool {
        let percent = self.settings().panic_percent;
        if percent <= 1 {
            return false;
        }
        let total = self.in_use().count();
        let usable = self.in_use().filter(|member| self.is_usable(member, now)).count();
        health::is_panic(usable, total, percent)
    }

    /// Whether health and breaker let it get requests. Both, as it is of no use to be called healthy behind an open
    /// breaker: where only such are left, those called ill are tried.
    fn is_usable(&self, member: &Member, now: Instant) -> bool {
        member.endpoint.is_healthy(now) && member.endpoint.is_permitted(self.settings(), now)
    }

    /// Whether nobody is usable, in an upstream that then ignores health.
    fn has_nobody_usable(&self, now: Instant) -> bool {
        self.settings().panic_percent > 0 && !self.in_use().any(|member| self.is_usable(member, now))
    }

    fn why_none(&self, now: Instant) -> NoEndpoint {
        let settings = self.settings();
        let obeys_health = !self.has_nobody_usable(now) && !self.is_panic(now);
        let mut soonest: Option<Duration> = None;
        let (mut is_empty, mut is_full) = (true, false);
        for member in self.in_use() {
            is_empty = false;
            if obeys_health && !member.endpoint.is_healthy(now) {
                continue;
            }
            if member.endpoint.is_permitted(settings, now) {
                is_full = true;
            } else {
                let after = member.endpoint.breaker().retry_after(now).unwrap_or_default();
                soonest = Some(soonest.map_or(after, |known| known.min(after)));
            }
        }
        match (is_empty, is_full, soonest) {
            (true, ..) => NoEndpoint::Empty,
            (_, true, _) => NoEndpoint::Full,
            (_, _, Some(after)) => NoEndpoint::CircuitOpen(after),
            _ => NoEndpoint::Unhealthy,
        }
    }
}

impl Avoided<'_> {
    fn contains(&self, endpoint: &Arc<LiveEndpoint>) -> bool {
        self.tried.iter().chain(self.crowded).any(|avoided| Arc::ptr_eq(avoided, endpoint))
    }
}

/// The members as one request sees them.
struct Look<'a> {
    set: &'a EndpointSet,
    avoided: Avoided<'a>,
    /// Those whose last place went to somebody else meanwhile.
    lost: Vec<usize>,
    obeys_health: bool,
    now: Instant,
}

impl Look<'_> {
    /// From the strictest wish to the least: untried and healthy, then also tried ones, then also unhealthy ones.
    fn next(&mut self, balancer: &dyn Balancer, ask: Ask) -> Option<usize> {
        if let Some(found) = balancer.next(self, ask) {
            return Some(found);
        }
        if self.obeys_health && self.set.has_nobody_usable(self.now) {
            self.obeys_health = false;
            if let Some(found) = balancer.next(self, ask) {
                return Some(found);
            }
        }
        if self.avoided.tried.is_empty() {
            return None;
        }
        self.avoided.tried = &[];
        balancer.next(self, ask)
    }
}

impl Candidates for Look<'_> {
    fn len(&self) -> usize {
        self.set.members.len()
    }

    fn weight(&self, index: usize) -> u32 {
        let Some(member) = self.set.members.get(index) else { return 0 };
        let share = self.set.share(member);
        match &self.set.settings().slow_start {
            None => share,
            Some(slow) => share.saturating_mul(member.endpoint.warmth(slow, self.now, HUNDREDTHS)),
        }
    }

    fn is_usable(&self, index: usize) -> bool {
        let Some(member) = self.set.members.get(index) else { return false };
        let endpoint = &member.endpoint;
        (!self.obeys_health || endpoint.is_healthy(self.now))
            && endpoint.has_room(self.set.settings(), self.now)
            && !self.avoided.contains(endpoint)
            && !self.lost.contains(&index)
    }

    fn load(&self, index: usize) -> u32 {
        self.set.members.get(index).map_or(0, |member| u32::try_from(member.endpoint.in_flight()).unwrap_or(u32::MAX))
    }

    fn cost(&self, index: usize) -> u64 {
        self.set.members.get(index).map_or(0, |member| member.endpoint.latency().cost(self.now))
    }
}
