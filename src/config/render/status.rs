//! The `status` section.

use serde::Serialize;

use crate::config::{Listen, Palette, Published, Status, StatusLink, Theme};

use super::text;

#[derive(Serialize)]
pub(super) struct StatusSection {
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<Listen>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<LinkEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    networks: Vec<PublishedEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    peers: Vec<PublishedEntry>,
    theme: ThemeSection,
}

#[derive(Serialize)]
struct LinkEntry {
    text: String,
    url: String,
}

#[derive(Serialize)]
struct PublishedEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    name: String,
    id: String,
}

#[derive(Serialize)]
struct ThemeSection {
    light: PaletteSection,
    dark: PaletteSection,
    #[serde(skip_serializing_if = "Option::is_none")]
    logo: Option<String>,
}

#[derive(Serialize)]
struct PaletteSection {
    background: String,
    text: String,
    accent: String,
}

impl From<&Status> for StatusSection {
    fn from(status: &Status) -> Self {
        let Status {
            title,
            description,
            listen,
            links,
            networks,
            peers,
            theme,
        } = status;
        let network = |it: &Published| PublishedEntry {
            network: Some(text(&it.internal)),
            peer: None,
            name: text(&it.name),
            id: it.id.clone(),
        };
        let peer = |it: &Published| PublishedEntry {
            network: None,
            peer: Some(text(&it.internal)),
            name: text(&it.name),
            id: it.id.clone(),
        };
        Self {
            title: text(title),
            description: description.as_ref().map(text),
            listen: listen.clone(),
            links: links.iter().map(LinkEntry::from).collect(),
            networks: networks.iter().map(network).collect(),
            peers: peers.iter().map(peer).collect(),
            theme: theme.into(),
        }
    }
}

impl From<&StatusLink> for LinkEntry {
    fn from(link: &StatusLink) -> Self {
        Self {
            text: text(&link.text),
            url: text(&link.url),
        }
    }
}

impl From<&Theme> for ThemeSection {
    fn from(theme: &Theme) -> Self {
        let logo = theme.logo.as_ref();
        Self {
            light: (&theme.light).into(),
            dark: (&theme.dark).into(),
            logo: logo.map(|logo| text(logo.path.to_string_lossy())),
        }
    }
}

impl From<&Palette> for PaletteSection {
    fn from(palette: &Palette) -> Self {
        Self {
            background: palette.background.to_string(),
            text: palette.text.to_string(),
            accent: palette.accent.to_string(),
        }
    }
}
