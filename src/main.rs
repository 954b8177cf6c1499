//! The program `zookeeper-operator`.
fn main() {
    print!("{}", zookeeper_operator::crd::definition_yaml().expect("x"));
}
