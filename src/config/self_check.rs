//! What tells the agent's own trouble from a peer's.

use convex_client::Endpoint;
use rustls::pki_types::ServerName;

use super::keys::SELF_CHECK;
use super::peers::endpoint;
use super::section::{Refused, Section, Value};

/// Each of them is asked whenever everything fails together: a few tell as much as many.
const MAX_REFERENCES: usize = 10;

/// What the agent asks when it doubts itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelfCheck {
    /// What answers while this host's network works; at most 10.
    pub references: Vec<Endpoint>,
    /// A name that resolves while this host's DNS works.
    pub dns_name: Option<String>,
}

/// The file's `self_check`.
pub(super) fn self_check(file: &Section) -> Result<SelfCheck, Refused> {
    let Some(section) = file.section("self_check", &SELF_CHECK)? else {
        return Ok(SelfCheck::default());
    };
    let dns_name = section.read("dns_name", dns_name);
    Ok(SelfCheck {
        references: references(&section)?,
        dns_name: dns_name?,
    })
}

fn references(section: &Section) -> Result<Vec<Endpoint>, Refused> {
    let items = section.list("references")?.into_iter().flatten();
    let source = section.source;
    let references: Vec<_> = items
        .map(|(path, node)| {
            endpoint(&Value { node, source })
                .map_err(|message| source.report(node.position, path, message))
        })
        .collect();
    if references.len() > MAX_REFERENCES {
        let position = section
            .value_position("references")
            .unwrap_or(section.position);
        let message = format!(
            "{} references, at most {MAX_REFERENCES}; remove some",
            references.len()
        );
        return Err(section.report(position, "references", message));
    }
    references.into_iter().collect()
}

fn dns_name(value: &Value) -> Result<String, String> {
    let text = value.text()?;
    match ServerName::try_from(text.as_str()) {
        Ok(ServerName::DnsName(_)) => Ok(text),
        _ => Err(format!(
            "{} is not a DNS name; expected one that always resolves, as in `example.com`",
            value.found()
        )),
    }
}
