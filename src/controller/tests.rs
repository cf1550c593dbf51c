//! The loop without a cluster: changes go in by hand, offers and the board are looked at.

use super::manifest::read_world;
use super::state::Stored;
use super::world::{Kind, Watched};
use super::*;

const ROUTE: &str = r#"
kind: GatewayRoute
metadata: {name: a, namespace: shop, uid: u1, generation: 1, creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {routes: [{hosts: [a.example.com], backends: [{service: {name: web, port: 80}}]}]}
"#;
const SERVICE: &str = r#"
kind: Service
metadata: {name: web, namespace: shop, uid: s1}
spec: {selector: {app: web}, ports: [{port: 80}]}
"#;
const SLICE: &str = r#"
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, uid: e1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.0.0.1]}]
"#;

struct Rig {
    arrivals: mpsc::Sender<Arrival>,
    applied: newest::Sender<Applied>,
    offers: newest::Receiver<Option<Offer>>,
    board: Arc<Board>,
    _loop: JoinSet<Result<(), ControllerError>>,
}

impl Rig {
    fn start() -> Self {
        Self::start_with(None)
    }

    fn start_with(stored: Option<Stored>) -> Self {
        let (arrivals, receiver) = mpsc::channel(QUEUE);
        let (applied, applied_receiver) = newest::channel(Applied::default());
        let (offer_sender, offers) = newest::channel(None);
        let board = Arc::new(Board::default());
        let world = World::waiting_for(ClassSettings::default(), watch::everything(&[]));
        let metrics = ControlMetrics::new(&prometheus::Registry::new()).unwrap();
        let mut conductor = Conductor::new(world, offer_sender, Arc::clone(&board), metrics);
        conductor.keeping.fall_back_to(stored);
        let mut running = JoinSet::new();
        running.spawn(async move { conductor.conduct(receiver, applied_receiver).await });
        Self { arrivals, applied, offers, board, _loop: running }
    }

    async fn send(&self, change: Change) {
        self.arrivals.send(Arrival { change, at: Instant::now() }).await.unwrap();
    }

    async fn list(&self, kind: Kind, texts: &[&str]) {
        let objects = texts.iter().map(|text| object(text)).collect();
        self.send(Change::Listed(Watched { kind, namespace: None }, objects)).await;
    }

    async fn apply(&self, text: &str) {
        self.send(Change::Applied(object(text))).await;
    }

    async fn offer(&mut self) -> Offer {
        let changed = tokio::time::timeout(Duration::from_secs(5), self.offers.changed()).await;
        changed.expect("an offer in time").unwrap();
        self.offers.borrow_and_update().clone().unwrap()
    }

    async fn has_offer_within(&mut self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.offers.changed()).await.is_ok()
    }
}

fn object(text: &str) -> Object {
    let world = read_world(text, ClassSettings::default()).unwrap();
    let shop = ObjectName::new("shop", "web");
    let route = world.routes().next().map(|(_, object)| Object::GatewayRoute(Arc::clone(object)));
    let service = world.service("shop", "web").cloned().map(Object::Service);
    let slice = world.slices(&shop).next().cloned().map(Object::EndpointSlice);
    route.or(service).or(slice).unwrap()
}

#[tokio::test]
async fn nothing_is_offered_before_everything_is_listed_and_empty_is_obeyed_then() {
    let mut rig = Rig::start();
    rig.list(Kind::GatewayRoute, &[]).await;
    rig.list(Kind::Service, &[]).await;
    rig.list(Kind::EndpointSlice, &[]).await;
    assert!(!rig.has_offer_within(Duration::from_millis(50)).await);
    rig.list(Kind::Endpoints, &[]).await;
    let offer = rig.offer().await;
    assert_eq!((offer.number, offer.gateway.routes.len()), (1, 0));
}

async fn started(texts: [&[&str]; 3]) -> (Rig, Offer) {
    let mut rig = Rig::start();
    rig.list(Kind::Endpoints, &[]).await;
    for (kind, texts) in [Kind::Service, Kind::EndpointSlice, Kind::GatewayRoute].into_iter().zip(texts) {
        rig.list(kind, texts).await;
    }
    let offer = rig.offer().await;
    (rig, offer)
}

#[tokio::test]
async fn a_new_object_waits_for_the_slices_of_its_service() {
    let (mut rig, _) = started([&[], &[], &[]]).await;
    rig.apply(ROUTE).await;
    rig.apply(SERVICE).await;
    assert!(!rig.has_offer_within(Duration::from_millis(300)).await);
    rig.apply(SLICE).await;
    let offer = rig.offer().await;
    assert_eq!(offer.gateway.upstreams[0].endpoints.len(), 1);
}

#[tokio::test]
async fn a_new_object_does_not_wait_for_ever() {
    let (mut rig, _) = started([&[SERVICE], &[], &[]]).await;
    rig.apply(ROUTE).await;
    let offer = rig.offer().await;
    assert_eq!(offer.gateway.routes.len(), 1);
    assert!(offer.gateway.upstreams[0].endpoints.is_empty());
}

#[tokio::test]
async fn own_status_writes_wake_nobody() {
    let (mut rig, offer) = started([&[SERVICE], &[SLICE], &[ROUTE]]).await;
    assert_eq!(offer.gateway.routes.len(), 1);
    rig.apply(&format!("{ROUTE}status: {{observedGeneration: 1}}\n")).await;
    assert!(!rig.has_offer_within(Duration::from_millis(100)).await);
}

#[tokio::test]
async fn a_relist_that_knows_no_object_any_more_is_obeyed() {
    let (mut rig, _) = started([&[SERVICE], &[SLICE], &[ROUTE]]).await;
    rig.list(Kind::GatewayRoute, &[]).await;
    assert!(rig.offer().await.gateway.routes.is_empty());
}

#[tokio::test]
async fn a_status_says_in_effect_only_after_it_is() {
    let (rig, offer) = started([&[SERVICE], &[SLICE], &[ROUTE]]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(rig.board.statuses(), Vec::new());
    rig.applied.send_replace(Applied { number: offer.number });
    let deadline = Instant::now() + Duration::from_secs(5);
    while rig.board.statuses().is_empty() && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.board.statuses(), [("shop/a".to_owned(), true)]);
}

#[tokio::test]
async fn a_data_plane_that_lags_is_told_as_not_yet() {
    let (rig, _) = started([&[SERVICE], &[SLICE], &[ROUTE]]).await;
    tokio::time::sleep(Duration::from_millis(2200)).await;
    assert_eq!(rig.board.statuses(), [("shop/a".to_owned(), false)]);
}

fn stored() -> Option<Stored> {
    let objects = [ROUTE, SERVICE, SLICE].map(object).to_vec();
    Some(Stored { objects, written: SystemTime::UNIX_EPOCH })
}

#[tokio::test]
async fn what_is_on_disk_is_served_when_the_api_server_does_not_answer() {
    let mut rig = Rig::start_with(stored());
    rig.list(Kind::Service, &[]).await;
    assert!(!rig.has_offer_within(state::PATIENCE / 2).await);
    let offer = rig.offer().await;
    assert_eq!(offer.stale_since, Some(SystemTime::UNIX_EPOCH));
    assert_eq!((offer.gateway.routes.len(), offer.gateway.upstreams[0].endpoints.len()), (1, 1));
    // Nobody is told what only the API server can know.
    rig.applied.send_replace(Applied { number: offer.number });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(rig.board.statuses(), Vec::new());
    // Half an answer is none.
    rig.list(Kind::GatewayRoute, &[]).await;
    rig.list(Kind::EndpointSlice, &[]).await;
    assert!(!rig.has_offer_within(Duration::from_millis(200)).await);
    rig.list(Kind::Endpoints, &[]).await;
    let offer = rig.offer().await;
    assert_eq!((offer.stale_since, offer.gateway.routes.len()), (None, 0));
}

#[tokio::test]
async fn what_is_on_disk_is_not_served_when_the_api_server_answers() {
    let mut rig = Rig::start_with(stored());
    for kind in [Kind::Service, Kind::EndpointSlice, Kind::Endpoints, Kind::GatewayRoute] {
        rig.list(kind, &[]).await;
    }
    assert_eq!(rig.offer().await.stale_since, None);
    assert!(!rig.has_offer_within(state::PATIENCE + Duration::from_millis(200)).await);
}
