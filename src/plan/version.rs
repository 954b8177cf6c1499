//! Whether a server of one version may follow one of another.
//!
//! Versions are those of this project's releases: an image's tag, and the part
//! behind the dash of what a member reports (`3.9.5-0.1.0`: the protocol's, ours).

use super::observed::Observed;
use crate::objects::Kind;
use crate::valid::ValidCluster;
use std::fmt;

/// major.minor.patch.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Version(u32, u32, u32);

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.0, self.1, self.2)
    }
}

fn parse(text: &str) -> Option<Version> {
    let mut numbers = text.trim_start_matches('v').split('.');
    let mut number = || numbers.next()?.parse().ok();
    let version = Version(number()?, number()?, number()?);
    numbers.next().is_none().then_some(version)
}

/// The version in an image's tag; None where the tag is no version, or a digest counts.
pub fn of_image(image: &str) -> Option<Version> {
    let name = image.rsplit('/').next()?;
    if name.contains('@') {
        return None;
    }
    let (_, tag) = name.split_once(':')?;
    // Builds of one version, such as `0.1.0-4f2a`, are the same to a disk.
    parse(tag.split('-').next()?)
}

/// A path that is not taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unsupported {
    /// What runs.
    pub from: Version,
    /// What is asked for.
    pub to: Version,
    /// The image that stays.
    pub image: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, image } = self;
        let advice = if to < from {
            "an older server may not read what a newer one wrote: restore a backup into a new cluster"
        } else {
            "go through every minor version in between"
        };
        write!(
            formatter,
            "spec.image asks for version {to} while {from} runs, so {image} stays: {advice}, or set \
             the annotation {}=\"true\" if you know better",
            crate::crd::names::ANNOTATION_ALLOW_VERSION
        )
    }
}

/// Patches go both ways, minor versions one step up, and nothing else.
fn is_supported(from: Version, to: Version) -> bool {
    from.0 == to.0 && (to.1 == from.1 || to.1 == from.1 + 1)
}

/// Why the spec's image is not brought in, if so.
pub fn unsupported(cluster: &ValidCluster, observed: &Observed) -> Option<Unsupported> {
    if cluster.any_version_wanted {
        return None;
    }
    let set = observed.objects.get(&Kind::StatefulSet)?;
    let image = set["spec"]["template"]["spec"]["containers"]
        .as_array()?
        .iter()
        .find(|container| container["name"] == crate::objects::CONTAINER)?["image"]
        .as_str()?;
    if image == cluster.image {
        return None;
    }
    let to = of_image(&cluster.image)?;
    // What serves decides; where nobody says, what was asked for last.
    let serving = observed
        .members
        .values()
        .filter_map(|report| report.as_ref().ok())
        .filter_map(|report| parse(report.version.rsplit('-').next()?))
        .max();
    let from = serving.or_else(|| of_image(image))?;
    (!is_supported(from, to)).then(|| Unsupported {
        from,
        to,
        image: image.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_images_tag_is_a_version_or_none() {
        let read = |image| of_image(image).map(|version| version.to_string());
        assert_eq!(
            read("registry:5000/zookeeper:0.2.1").as_deref(),
            Some("0.2.1")
        );
        assert_eq!(
            read("ensemble.dev/zookeeper:v1.2.3-ab").as_deref(),
            Some("1.2.3")
        );
        for image in [
            "zookeeper",
            "registry:5000/zookeeper",
            "zookeeper:latest",
            "zookeeper@sha256:00",
        ] {
            assert_eq!(read(image), None, "{image}");
        }
    }

    #[test]
    fn patches_go_both_ways_and_minor_versions_one_step_up() {
        let may =
            |from: &str, to: &str| is_supported(parse(from).expect("one"), parse(to).expect("one"));
        assert!(may("0.2.0", "0.2.7") && may("0.2.7", "0.2.0") && may("0.2.7", "0.3.0"));
        assert!(!may("0.3.0", "0.2.9") && !may("0.2.0", "0.4.0") && !may("0.9.0", "1.0.0"));
    }
}
