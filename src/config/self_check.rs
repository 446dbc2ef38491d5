//! What the agent checks to tell its own problems from those of peers.

use convex_client::Endpoint;
use rustls::pki_types::ServerName;

use super::keys::SELF_CHECK;
use super::peers::endpoint;
use super::section::Section;
use super::source::Reported;
use super::value::Value;

/// All references are checked whenever all peers fail together; more would add nothing.
const MAX_REFERENCES: usize = 10;

/// What the agent checks to detect its own problems.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelfCheck {
    /// Endpoints that answer as long as this host's network works; at most 10.
    pub references: Vec<Endpoint>,
    /// A name that resolves as long as this host's DNS works.
    pub dns_name: Option<String>,
}

/// Reads `self_check`.
pub(super) fn self_check(file: &Section) -> Result<SelfCheck, Reported> {
    let Some(section) = file.section("self_check", &SELF_CHECK)? else {
        return Ok(SelfCheck::default());
    };
    let dns_name = section.read("dns_name", dns_name);
    Ok(SelfCheck {
        references: references(&section)?,
        dns_name: dns_name?,
    })
}

fn references(section: &Section) -> Result<Vec<Endpoint>, Reported> {
    let references = section.read_list("references", endpoint)?;
    if references.len() > MAX_REFERENCES {
        let message = format!(
            "{} references, at most {MAX_REFERENCES}; remove some",
            references.len()
        );
        return Err(section.report_value("references", message));
    }
    references.into_iter().collect()
}

fn dns_name(value: &Value) -> Result<String, String> {
    let text = value.text()?;
    match ServerName::try_from(text.as_str()) {
        Ok(ServerName::DnsName(_)) => Ok(text),
        _ => Err(format!(
            "{} is not a DNS name; expected one that always resolves, as in `example.com`",
            value.quoted()
        )),
    }
}
