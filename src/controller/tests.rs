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
    running: JoinSet<Result<(), ControllerError>>,
}

impl Rig {
    fn start() -> Self {
        Self::start_with(None, None)
    }

    fn start_with(stored: Option<Stored>, operator: Option<Operator>) -> Self {
        let (arrivals, receiver) = mpsc::channel(QUEUE);
        let (applied, applied_receiver) = newest::channel(Applied::default());
        let (offer_sender, offers) = newest::channel(None);
        let board = Arc::new(Board::default());
        let mut watched = watch::everything(&[]);
        if operator.is_some() {
            watched.push(Watched { kind: Kind::ConfigMap, namespace: Some("edge".to_owned()) });
        }
        let world = World::waiting_for(ClassSettings::default(), watched);
        let metrics = ControlMetrics::new(&prometheus::Registry::new()).unwrap();
        let mut conductor = Conductor::new(world, offer_sender, Arc::clone(&board), metrics);
        conductor.keeping.fall_back_to(stored);
        conductor.operator = operator;
        let mut running = JoinSet::new();
        running.spawn(async move { conductor.conduct(receiver, applied_receiver).await });
        Self { arrivals, applied, offers, board, running }
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
    for kind in [Kind::GatewayRoute, Kind::GatewayPolicy, Kind::ReferenceGrant, Kind::Service, Kind::EndpointSlice] {
        rig.list(kind, &[]).await;
    }
    assert!(!rig.has_offer_within(Duration::from_millis(50)).await);
    rig.list(Kind::Endpoints, &[]).await;
    let offer = rig.offer().await;
    assert_eq!((offer.number, offer.gateway.routes.len()), (1, 0));
}

async fn started(texts: [&[&str]; 3]) -> (Rig, Offer) {
    let mut rig = Rig::start();
    for kind in [Kind::Endpoints, Kind::GatewayPolicy, Kind::ReferenceGrant] {
        rig.list(kind, &[]).await;
    }
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
    let mut rig = Rig::start_with(stored(), None);
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
    for kind in [Kind::GatewayRoute, Kind::GatewayPolicy, Kind::ReferenceGrant, Kind::EndpointSlice] {
        rig.list(kind, &[]).await;
    }
    assert!(!rig.has_offer_within(Duration::from_millis(200)).await);
    rig.list(Kind::Endpoints, &[]).await;
    let offer = rig.offer().await;
    assert_eq!((offer.stale_since, offer.gateway.routes.len()), (None, 0));
}

#[tokio::test]
async fn what_is_on_disk_is_not_served_when_the_api_server_answers() {
    let mut rig = Rig::start_with(stored(), None);
    list_all_but_the_file(&rig).await;
    assert_eq!(rig.offer().await.stale_since, None);
    assert!(!rig.has_offer_within(state::PATIENCE + Duration::from_millis(200)).await);
}

const POLICY_USER: &str = r#"
kind: GatewayRoute
metadata: {name: a, namespace: shop, uid: u1, generation: 1, creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {routes: [{hosts: [a.example.com], use: [slow], respond: {status: 204}}]}
"#;

fn policy(spec: &str) -> Change {
    let text = format!("kind: GatewayPolicy\nmetadata: {{name: slow, namespace: shop, uid: p1}}\nspec: {spec}\n");
    let world = read_world(&text, ClassSettings::default()).unwrap();
    let (_, policy) = world.policies().next().unwrap();
    Change::Applied(Object::GatewayPolicy(Arc::clone(policy)))
}

#[tokio::test]
async fn a_new_object_waits_a_blink_for_its_policy() {
    let (mut rig, _) = started([&[], &[], &[]]).await;
    rig.apply(POLICY_USER).await;
    rig.send(policy("{timeouts: {request: 7s}}")).await;
    let offer = rig.offer().await;
    let rule = &offer.gateway.routes[0].rules[0];
    assert_eq!(rule.traffic.timeouts.request, Duration::from_secs(7), "never served without it");
}

fn operator_rig() -> (Rig, Report) {
    let report = Report { problems: Arc::default(), error: prometheus::IntGauge::new("a", "a").unwrap() };
    let operator = Operator::new(ObjectName::new("edge", "sluice"), report.clone());
    let rig = Rig::start_with(None, Some(operator));
    (rig, report)
}

fn file(text: &str) -> Object {
    let data = [("sluice.yaml".to_owned(), text.to_owned())].into();
    let metadata = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        name: Some("sluice".to_owned()),
        namespace: Some("edge".to_owned()),
        ..Default::default()
    };
    Object::ConfigMap(Arc::new(k8s_openapi::api::core::v1::ConfigMap {
        metadata,
        data: Some(data),
        ..Default::default()
    }))
}

async fn list_all_but_the_file(rig: &Rig) {
    let kinds = [
        Kind::GatewayRoute,
        Kind::GatewayPolicy,
        Kind::ReferenceGrant,
        Kind::Service,
        Kind::EndpointSlice,
        Kind::Endpoints,
    ];
    for kind in kinds {
        rig.list(kind, &[]).await;
    }
}

async fn list_file(rig: &Rig, objects: Vec<Object>) {
    let watched = Watched { kind: Kind::ConfigMap, namespace: Some("edge".to_owned()) };
    rig.send(Change::Listed(watched, objects)).await;
}

const GOOD_FILE: &str = "listeners: [{port: 8080}]\nroutes: [{path: /, respond: {status: 204}}]\n";

#[tokio::test]
async fn nothing_is_offered_before_the_operators_file_is_there() {
    let (mut rig, report) = operator_rig();
    list_all_but_the_file(&rig).await;
    list_file(&rig, Vec::new()).await;
    assert!(!rig.has_offer_within(Duration::from_millis(50)).await);
    assert_eq!(report.error.get(), 1, "it is told that it is missing");
    rig.send(Change::Applied(file(GOOD_FILE))).await;
    let offer = rig.offer().await;
    assert_eq!((offer.gateway.routes.len(), offer.gateway.listeners[0].port), (1, 8080));
    assert_eq!(report.error.get(), 0);
}

#[tokio::test]
async fn a_file_that_becomes_wrong_or_goes_changes_nothing_and_is_told() {
    let (mut rig, report) = operator_rig();
    list_all_but_the_file(&rig).await;
    list_file(&rig, vec![file(GOOD_FILE)]).await;
    rig.offer().await;
    rig.send(Change::Applied(file("routess: []\n"))).await;
    assert!(!rig.has_offer_within(Duration::from_millis(50)).await);
    assert!(report.problems.load()[0].contains("routess"), "{:?}", report.problems);
    rig.send(Change::Deleted(file(GOOD_FILE))).await;
    assert!(!rig.has_offer_within(Duration::from_millis(50)).await);
    assert_eq!(report.error.get(), 1);
    rig.send(Change::Applied(file(&GOOD_FILE.replace("204", "205")))).await;
    rig.offer().await;
    assert!(report.problems.load().is_empty());
}

#[tokio::test]
async fn a_start_with_a_wrong_file_ends() {
    let (mut rig, _) = operator_rig();
    list_file(&rig, vec![file("routess: []\n")]).await;
    let ended = tokio::time::timeout(Duration::from_secs(5), rig.running.join_next()).await.unwrap();
    assert!(matches!(ended, Some(Ok(Err(ControllerError::OperatorFile(_))))));
}

#[tokio::test]
async fn what_is_on_disk_is_served_with_its_operators_file_or_not_at_all() {
    for (text, is_served) in [(GOOD_FILE, true), ("routess: []\n", false)] {
        let mut stored = stored().unwrap();
        stored.objects.push(file(text));
        let report = Report { problems: Arc::default(), error: prometheus::IntGauge::new("a", "a").unwrap() };
        let operator = Operator::new(ObjectName::new("edge", "sluice"), report);
        let mut rig = Rig::start_with(Some(stored), Some(operator));
        assert_eq!(rig.has_offer_within(state::PATIENCE + Duration::from_millis(300)).await, is_served);
    }
}

#[test]
fn only_a_good_file_goes_to_disk() {
    let report = Report { problems: Arc::default(), error: prometheus::IntGauge::new("a", "a").unwrap() };
    let mut operator = Operator::new(ObjectName::new("edge", "sluice"), report);
    let mut world = World::default();
    let mut kept = |text: &str| {
        world.apply(Change::Applied(file(text)));
        operator.look(&mut world).unwrap();
        let objects = world.objects();
        let texts = objects.iter().filter_map(|object| match object {
            Object::ConfigMap(file) => file.data.as_ref()?.get("sluice.yaml").cloned(),
            _ => None,
        });
        texts.collect::<Vec<_>>()
    };
    assert_eq!(kept(GOOD_FILE), [GOOD_FILE]);
    assert_eq!(kept("routess: []\n"), [GOOD_FILE]);
}
