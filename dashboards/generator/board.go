package main

import (
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// columns of Grafana's grid.
const columns = 24

// board is a dashboard: rows of panels, laid out one after another.
type board struct {
	uid, title, about string
	// back is the time range that a dashboard opens with.
	back        string
	variables   []variable
	annotations []annotation
	rows        []row
}

// row is a heading and the panels below it; the first row has no heading.
type row struct {
	title  string
	panels []*panel
	// collapsed: what the panels show needs a feature that many installations do not use. Grafana
	// does not run the queries of a collapsed row.
	collapsed bool
}

// The dashboards by their uids; all of them link to all others, in this order.
var uids = []string{"convex-fleet", "convex-peer", "convex-consensus", "convex-stake", "convex-service-level", "convex-monitor"}

func boards() []board {
	return []board{fleet(), peer(), consensus(), stake(), serviceLevel(), monitor()}
}

func (b board) build() dashboard.Dashboard {
	made := *dashboard.NewDashboard()
	made.Uid = &b.uid
	made.Title = &b.title
	made.Description = &b.about
	made.Tags = []string{"convex"}
	made.Editable = cog.ToPtr(false)
	made.GraphTooltip = cog.ToPtr(dashboard.DashboardCursorSyncCrosshair)
	made.Time = &dashboard.DashboardDashboardTime{From: "now-" + b.back, To: "now"}
	made.Refresh = cog.ToPtr("30s")
	made.Templating.List = b.chosen()
	for _, it := range b.annotations {
		made.Annotations.List = append(made.Annotations.List, it.build())
	}
	for _, uid := range uids {
		if uid != b.uid {
			made.Links = append(made.Links, b.button(uid))
		}
	}
	made.Panels = b.place()
	return made
}

// place lays the panels out from left to right and from top to bottom.
func (b board) place() []dashboard.PanelOrRowPanel {
	var placed []dashboard.PanelOrRowPanel
	var id, x, y, tallest uint32
	feed := func() { x, y, tallest = 0, y+tallest, 0 }
	for _, row := range b.rows {
		feed()
		head := dashboard.NewRowPanel()
		if row.title != "" {
			id++
			head.Id = id
			head.Title = &row.title
			head.Collapsed = row.collapsed
			head.GridPos = &dashboard.GridPos{X: 0, Y: y, W: columns, H: 1}
			placed = append(placed, dashboard.PanelOrRowPanel{RowPanel: head})
			y++
		}
		below := y
		for _, it := range row.panels {
			if x+it.width > columns {
				feed()
			}
			id++
			made := it.Panel
			made.Id = cog.ToPtr(id)
			made.GridPos = &dashboard.GridPos{X: x, Y: y, W: it.width, H: it.height}
			for _, link := range it.links {
				made.Links = append(made.Links, link(b))
			}
			if row.collapsed {
				head.Panels = append(head.Panels, made)
			} else {
				placed = append(placed, dashboard.PanelOrRowPanel{Panel: &made})
			}
			x += it.width
			tallest = max(tallest, it.height)
		}
		if row.collapsed {
			x, y, tallest = 0, below, 0
		}
	}
	return placed
}

// variable is a choice at the top of a dashboard.
type variable struct {
	name, label, query string
	// one: exactly one value, not several or all.
	one bool
}

var (
	network = variable{name: "network", label: "Network", query: "label_values(convex_peer_info, network)"}
	peers   = variable{name: "peer", label: "Peer", query: `label_values(convex_peer_info{network=~"$network"}, peer)`}
	onePeer = variable{name: peers.name, label: peers.label, query: peers.query, one: true}
	vantage = variable{name: "vantage", label: "Vantage", query: "label_values(convex_monitor_info, vantage)"}
)

func (b board) chosen() []dashboard.VariableModel {
	made := []dashboard.VariableModel{{
		Type:  dashboard.VariableTypeDatasource,
		Name:  "datasource",
		Label: cog.ToPtr("Data source"),
		Query: &dashboard.StringOrMap{String: cog.ToPtr("prometheus")},
	}}
	for _, it := range b.variables {
		model := dashboard.VariableModel{
			Type:       dashboard.VariableTypeQuery,
			Name:       it.name,
			Label:      &it.label,
			Datasource: &source,
			Definition: &it.query,
			Query:      &dashboard.StringOrMap{Map: map[string]any{"query": it.query, "refId": it.name}},
			Refresh:    cog.ToPtr(dashboard.VariableRefreshOnTimeRangeChanged),
			Sort:       cog.ToPtr(dashboard.VariableSortAlphabeticalAsc),
			Multi:      cog.ToPtr(!it.one),
			IncludeAll: cog.ToPtr(!it.one),
		}
		if !it.one {
			model.AllValue = cog.ToPtr(".+")
			model.Current = &dashboard.VariableOption{
				Text:  dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
				Value: dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
			}
		}
		made = append(made, model)
	}
	return made
}

// annotation marks the times at which an expression has a value.
type annotation struct {
	name, color, expression, title string
}

func (a annotation) build() dashboard.AnnotationQuery {
	made := *dashboard.NewAnnotationQuery()
	made.BuiltIn = nil
	made.Placement = nil
	made.Name = a.name
	made.Datasource = &source
	made.IconColor = a.color
	made.TitleFormat = &a.title
	made.TextFormat = cog.ToPtr("")
	made.Target = &prometheus.Dataquery{RefId: cog.ToPtr("Anno"), Datasource: &source, Expr: a.expression, Range: cog.ToPtr(true)}
	return made
}

// link makes a link of a panel for the board that it is on.
type link func(board) dashboard.DashboardLink

// at links to another dashboard and keeps the variables that both have and the time range.
func at(uid string) link {
	return func(from board) dashboard.DashboardLink {
		to := titled(uid)
		query := append(from.kept(to), "${__url_time_range}")
		return leading(to.title, "/d/"+uid+"?"+strings.Join(query, "&"))
	}
}

// runbook links to the runbook of an alert; the address is the same placeholder as in the rules.
func runbook(alert string) link {
	return func(board) dashboard.DashboardLink {
		return leading("Runbook of "+alert, "https://runbooks.example/"+alert+".md")
	}
}

func leading(title, url string) dashboard.DashboardLink {
	made := *dashboard.NewDashboardLink()
	made.Type = dashboard.DashboardLinkTypeLink
	made.Placement = nil
	made.Title = title
	made.Url = &url
	return made
}

// button is the link to another dashboard at the top of one.
func (b board) button(uid string) dashboard.DashboardLink {
	to := titled(uid)
	made := leading(to.title, "/d/"+uid+"?"+strings.Join(b.kept(to), "&"))
	made.KeepTime = true
	made.Icon = "dashboard"
	made.Tooltip = to.about
	return made
}

// kept has the variables that a link passes on: those of both boards, except several peers where one is needed.
func (b board) kept(to board) []string {
	kept := []string{"${datasource:queryparam}"}
	for _, mine := range b.variables {
		for _, theirs := range to.variables {
			if mine.name == theirs.name && (mine.one || !theirs.one) {
				kept = append(kept, fmt.Sprintf("${%s:queryparam}", mine.name))
			}
		}
	}
	return kept
}

// titled has the parts of each dashboard that links to it need.
func titled(uid string) board {
	switch uid {
	case "convex-fleet":
		return board{uid: uid, title: "Fleet overview", about: "What is wrong, and where", variables: []variable{network, peers, vantage}}
	case "convex-peer":
		return board{uid: uid, title: "Peer", about: "Everything about one peer", variables: []variable{network, onePeer, vantage}}
	case "convex-consensus":
		return board{uid: uid, title: "Consensus and forks", about: "Order, finality, quorum, lag and forks", variables: []variable{network, peers, vantage}}
	case "convex-stake":
		return board{uid: uid, title: "Stake and economy", about: "Stake, weight, balances, prices and custom queries", variables: []variable{network, peers, vantage}}
	case "convex-service-level":
		return board{uid: uid, title: "Service level", about: "Availability, error budgets and latency", variables: []variable{network, peers, vantage}}
	case "convex-monitor":
		return board{uid: uid, title: "Agent health", about: "Whether the agents work and can be trusted", variables: []variable{network, vantage}}
	}
	panic("there is no dashboard " + uid)
}

// started returns a board with its parts from titled.
func started(uid, back string) board {
	made := titled(uid)
	made.back = back
	return made
}

// toPeer is the data link of a column with names of peers, or of a line with the labels of one.
func toPeer(peer, network string) dashboard.DashboardLink {
	return leading("This peer", "/d/convex-peer?${datasource:queryparam}&var-network="+network+"&var-peer="+peer+"&${vantage:queryparam}&${__url_time_range}")
}

// Data links of a table's cells and of lines.
func cellToPeer() dashboard.DashboardLink {
	return toPeer("${__data.fields.Peer}", "${__data.fields.Network}")
}

func lineToPeer() dashboard.DashboardLink {
	return toPeer("${__field.labels.peer}", "${__field.labels.network}")
}
