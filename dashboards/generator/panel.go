package main

import (
	"fmt"
	"slices"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// source is the data source that you choose at the top of a dashboard.
var source = common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}

// panel is a panel without its position, which the board sets.
type panel struct {
	dashboard.Panel
	width, height uint32
	// links lead from the panel to other dashboards and to runbooks.
	links []link
}

// newPanel sets the title and the description that every panel needs.
func newPanel(kind, title, about string, options, custom any) *panel {
	made := &panel{Panel: *dashboard.NewPanel(), width: 12, height: 8}
	made.Type = kind
	made.Title = &title
	made.Description = &about
	made.Datasource = &source
	made.RepeatDirection = nil
	made.Options = options
	made.FieldConfig = dashboard.NewFieldConfigSource()
	made.FieldConfig.Defaults.Custom = custom
	return made.unit("none").steps("green")
}

// numbers shows the latest values, large.
func numbers(title, about string) *panel {
	options := stat.NewOptions()
	options.GraphMode = common.BigValueGraphModeNone
	options.ColorMode = common.BigValueColorModeBackgroundSolid
	options.Orientation = common.VizOrientationAuto
	options.ReduceOptions = common.ReduceDataOptions{Calcs: []string{"lastNotNull"}, Fields: cog.ToPtr(""), Values: cog.ToPtr(false)}
	return newPanel("stat", title, about, options, nil).size(3, 3).paint(dashboard.FieldColorModeIdThresholds)
}

// lines shows values over time.
func lines(title, about string) *panel {
	options := timeseries.NewOptions()
	options.Legend = legendTable()
	options.Tooltip = common.VizTooltipOptions{Mode: common.TooltipDisplayModeMulti, Sort: common.SortOrderDescending}
	custom := &timeseries.FieldConfig{
		DrawStyle:         cog.ToPtr(common.GraphDrawStyleLine),
		LineInterpolation: cog.ToPtr(common.LineInterpolationLinear),
		LineWidth:         cog.ToPtr(1.0),
		FillOpacity:       cog.ToPtr(0.0),
		ShowPoints:        cog.ToPtr(common.VisibilityModeNever),
		AxisSoftMin:       cog.ToPtr(0.0),
		SpanNulls:         &common.BoolOrFloat64{Bool: cog.ToPtr(false)},
	}
	return newPanel("timeseries", title, about, options, custom).paint(dashboard.FieldColorModeIdPaletteClassic)
}

// states shows which of a few states things were in, over time.
func states(title, about string, named mapping) *panel {
	options := statetimeline.NewOptions()
	options.ShowValue = common.VisibilityModeNever
	options.RowHeight = 0.8
	options.Legend = legendList()
	options.Tooltip = common.VizTooltipOptions{Mode: common.TooltipDisplayModeSingle, Sort: common.SortOrderNone}
	options.PerPage = nil
	custom := &statetimeline.FieldConfig{
		LineWidth:   cog.ToPtr[uint32](0),
		FillOpacity: cog.ToPtr[uint32](80),
		SpanNulls:   &statetimeline.BoolOrUint32{Bool: cog.ToPtr(false)},
	}
	made := newPanel("state-timeline", title, about, options, custom).paint(dashboard.FieldColorModeIdThresholds)
	made.FieldConfig.Defaults.Mappings = named.values()
	return made
}

// heat shows how the buckets of a histogram fill over time.
func heat(title, about string) *panel {
	options := heatmap.NewOptions()
	options.Color.Mode = cog.ToPtr(heatmap.HeatmapColorModeScheme)
	options.Exemplars.Color = "purple"
	options.ShowValue = common.VisibilityModeNever
	options.Tooltip = heatmap.HeatmapTooltip{Mode: common.TooltipDisplayModeSingle, YHistogram: cog.ToPtr(true)}
	options.YAxis.Unit = cog.ToPtr("s")
	options.CellValues = &heatmap.CellValues{Unit: cog.ToPtr("suffix:/min"), Decimals: cog.ToPtr[float32](1)}
	return newPanel("heatmap", title, about, options, nil)
}

// buckets queries the buckets of a histogram.
func (p *panel) buckets(expression string) *panel {
	p.query(expression, "{{le}}")
	p.Targets[len(p.Targets)-1].(*prometheus.Dataquery).Format = cog.ToPtr(prometheus.PromQueryFormatHeatmap)
	return p
}

// legendTable lists each series with its last and highest value, the highest last values first.
func legendTable() common.VizLegendOptions {
	return common.VizLegendOptions{
		DisplayMode: common.LegendDisplayModeTable,
		Placement:   common.LegendPlacementBottom,
		ShowLegend:  true,
		Calcs:       []string{"lastNotNull", "max"},
		SortBy:      cog.ToPtr("Last *"),
		SortDesc:    cog.ToPtr(true),
	}
}

// legendList names the colours of states.
func legendList() common.VizLegendOptions {
	return common.VizLegendOptions{
		DisplayMode: common.LegendDisplayModeList,
		Placement:   common.LegendPlacementBottom,
		ShowLegend:  true,
		Calcs:       []string{},
	}
}

func (p *panel) size(width, height uint32) *panel {
	p.width, p.height = width, height
	return p
}

func (p *panel) unit(unit string) *panel {
	p.FieldConfig.Defaults.Unit = &unit
	return p
}

func (p *panel) decimals(decimals float64) *panel {
	p.FieldConfig.Defaults.Decimals = &decimals
	return p
}

// upTo sets where the axis ends if no value is higher: a line of zeros has no scale.
func (p *panel) upTo(high float64) *panel {
	p.FieldConfig.Defaults.Custom.(*timeseries.FieldConfig).AxisSoftMax = &high
	return p
}

// close lets the axis begin near the lowest value, for values of which only the change matters.
func (p *panel) close() *panel {
	p.FieldConfig.Defaults.Custom.(*timeseries.FieldConfig).AxisSoftMin = nil
	return p
}

// empty sets the text that is shown without data. It is fixed, so it must be true in every case.
func (p *panel) empty(text string) *panel {
	p.FieldConfig.Defaults.NoValue = &text
	return p
}

// full marks a panel about a peer that stays empty with lean detail, and while the peer does not answer.
func (p *panel) full() *panel { return p.empty("No answer from the peer, or metrics.detail is lean") }

// neutral is the colour of values that are neither good nor bad, such as an unknown one.
const neutral = "rgba(128, 128, 128, 0.25)"

func (p *panel) paint(mode dashboard.FieldColorModeId) *panel {
	p.FieldConfig.Defaults.Color = &dashboard.FieldColor{Mode: mode}
	return p
}

// step is a value from which on another colour applies.
type step struct {
	from  float64
	color string
}

func thresholds(base string, steps []step) *dashboard.ThresholdsConfig {
	made := &dashboard.ThresholdsConfig{
		Mode:  dashboard.ThresholdsModeAbsolute,
		Steps: []dashboard.Threshold{{Color: base}},
	}
	for _, it := range steps {
		made.Steps = append(made.Steps, dashboard.Threshold{Value: &it.from, Color: it.color})
	}
	return made
}

// steps colours by value.
func (p *panel) steps(base string, steps ...step) *panel {
	p.FieldConfig.Defaults.Thresholds = thresholds(base, steps)
	return p
}

// limit draws a line at each threshold.
func (p *panel) limit(base string, steps ...step) *panel {
	p.FieldConfig.Defaults.Custom.(*timeseries.FieldConfig).ThresholdsStyle =
		&common.GraphThresholdsStyleConfig{Mode: common.GraphThresholdsStyleModeDashed}
	return p.steps(base, steps...)
}

// stacked stacks the series as areas.
func (p *panel) stacked() *panel {
	custom := p.FieldConfig.Defaults.Custom.(*timeseries.FieldConfig)
	custom.Stacking = &common.StackingConfig{Mode: cog.ToPtr(common.StackingModeNormal), Group: cog.ToPtr("A")}
	custom.FillOpacity = cog.ToPtr(60.0)
	custom.LineWidth = cog.ToPtr(0.0)
	return p
}

// dots draws sparse values as points: lines between them would be invented.
func (p *panel) dots() *panel {
	custom := p.FieldConfig.Defaults.Custom.(*timeseries.FieldConfig)
	custom.DrawStyle = cog.ToPtr(common.GraphDrawStylePoints)
	custom.PointSize = cog.ToPtr(5.0)
	custom.ShowPoints = cog.ToPtr(common.VisibilityModeAlways)
	return p
}

// named shows values as words.
func (p *panel) named(named mapping) *panel {
	p.FieldConfig.Defaults.Mappings = named.values()
	return p
}

// plain shows numbers that are neither good nor bad without colour.
func (p *panel) plain() *panel {
	p.Options.(*stat.Options).ColorMode = common.BigValueColorModeNone
	return p
}

// titled shows the name of each value, even of a single one.
func (p *panel) titled() *panel {
	p.Options.(*stat.Options).TextMode = common.BigValueTextModeValueAndName
	return p
}

// sparked draws the history behind the latest value.
func (p *panel) sparked() *panel {
	p.Options.(*stat.Options).GraphMode = common.BigValueGraphModeArea
	return p
}

// query queries an expression over the time range.
func (p *panel) query(expression, legend string) *panel {
	return p.ask(expression, legend, false)
}

// now queries the latest value of an expression.
func (p *panel) now(expression, legend string) *panel {
	return p.ask(expression, legend, true)
}

func (p *panel) ask(expression, legend string, instant bool) *panel {
	p.Targets = append(p.Targets, &prometheus.Dataquery{
		RefId:        cog.ToPtr(letter(len(p.Targets))),
		Datasource:   &source,
		Expr:         expression,
		LegendFormat: &legend,
		Instant:      &instant,
		Range:        cog.ToPtr(!instant),
		Format:       cog.ToPtr(prometheus.PromQueryFormatTimeSeries),
		EditorMode:   cog.ToPtr(prometheus.QueryEditorModeCode),
	})
	return p
}

func letter(index int) string { return string(rune('A' + index)) }

// colored sets the colour of the series with this name, or of those that match if it begins with a slash.
func (p *panel) colored(name, color string) *panel {
	return p.override(name, property("color", dashboard.FieldColor{Mode: dashboard.FieldColorModeIdFixed, FixedColor: &color}))
}

func (p *panel) override(name string, properties ...dashboard.DynamicConfigValue) *panel {
	matcher := dashboard.MatcherConfig{Id: "byName", Options: name}
	if name[0] == '/' {
		matcher.Id = "byRegexp"
	}
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides,
		dashboard.DashboardFieldConfigSourceOverrides{Matcher: matcher, Properties: properties})
	return p
}

func property(id string, value any) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: id, Value: value}
}

// to adds links.
func (p *panel) to(links ...link) *panel {
	p.links = append(p.links, links...)
	return p
}

// mapping has the texts and colours of the values from 0 on.
type mapping []word

type word struct{ text, color string }

func (m mapping) values() []dashboard.ValueMapping {
	options := map[string]dashboard.ValueMappingResult{}
	for i, it := range m {
		options[fmt.Sprint(i)] = dashboard.ValueMappingResult{Text: &it.text, Color: &it.color, Index: cog.ToPtr(int32(i))}
	}
	return []dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: options}}}
}

// grid is a table of several queries, with a line for each set of labels that they share.
type grid struct {
	*panel
	// order has the fields as the queries name them; renamed has their headings.
	order   []string
	renamed map[string]string
	hidden  map[string]bool
}

func rows(title, about string) *grid {
	options := table.NewOptions()
	options.Footer = nil
	custom := &table.FieldConfig{Align: common.FieldTextAlignmentAuto, MinWidth: cog.ToPtr(80.0)}
	// Cells without a value have the colour below all steps.
	made := newPanel("table", title, about, options, custom).size(24, 8).steps("text")
	return &grid{panel: made, renamed: map[string]string{}, hidden: map[string]bool{"Time": true, "__name__": true}}
}

// label makes a column of a label.
func (g *grid) label(label, heading string, properties ...dashboard.DynamicConfigValue) *grid {
	g.place(label, heading, append(properties, property("unit", "string"), missing(none)))
	return g
}

// value makes a column of an expression's values.
func (g *grid) value(heading, expression string, properties ...dashboard.DynamicConfigValue) *grid {
	if !slices.ContainsFunc(properties, func(it dashboard.DynamicConfigValue) bool { return it.Id == "noValue" }) {
		properties = append(properties, missing(none))
	}
	g.place(g.add(expression), heading, properties)
	return g
}

// join queries an expression only for its labels.
func (g *grid) join(expression string) *grid {
	g.hidden[g.add(expression)] = true
	return g
}

// hide drops the columns of labels by which the queries are joined.
func (g *grid) hide(labels ...string) *grid {
	for _, label := range labels {
		g.hidden[label] = true
	}
	return g
}

func (g *grid) add(expression string) string {
	g.now(expression, "")
	query := g.Targets[len(g.Targets)-1].(*prometheus.Dataquery)
	query.Format = cog.ToPtr(prometheus.PromQueryFormatTable)
	query.LegendFormat = nil
	return "Value #" + *query.RefId
}

func (g *grid) place(field, heading string, properties []dashboard.DynamicConfigValue) {
	g.order = append(g.order, field)
	g.renamed[field] = heading
	if slices.ContainsFunc(properties, isCell) {
		properties = append(properties, property("custom.align", common.FieldTextAlignmentCenter))
	}
	if len(properties) > 0 {
		g.override(heading, properties...)
	}
}

// sorted ends the table.
func (g *grid) sorted(heading string, descending bool) *panel {
	g.Options.(*table.Options).SortBy = []common.TableSortByFieldState{{DisplayName: heading, Desc: &descending}}
	// The values of a single query have no letter.
	if len(g.Targets) == 1 {
		for i, field := range g.order {
			if field == "Value #A" {
				g.order[i] = "Value"
				g.renamed["Value"] = g.renamed[field]
				delete(g.renamed, field)
			}
		}
		if g.hidden["Value #A"] {
			g.hidden["Value"] = true
			delete(g.hidden, "Value #A")
		}
	}
	index := map[string]int{}
	for i, field := range g.order {
		index[field] = i
	}
	g.Transformations = []dashboard.DataTransformerConfig{
		{Id: "merge", Options: map[string]any{}},
		{Id: "organize", Options: map[string]any{
			"excludeByName": g.hidden,
			"indexByName":   index,
			"renameByName":  g.renamed,
		}},
	}
	return g.panel
}

// Formats of a column.

// none stands in cells without a value.
const none = "–"

func unit(unit string) dashboard.DynamicConfigValue { return property("unit", unit) }

func digits(decimals int) dashboard.DynamicConfigValue { return property("decimals", decimals) }

func wide(pixels int) dashboard.DynamicConfigValue { return property("custom.width", pixels) }

func missing(text string) dashboard.DynamicConfigValue { return property("noValue", text) }

func words(named mapping) dashboard.DynamicConfigValue { return property("mappings", named.values()) }

// lowest is below every value: the first step of columns whose empty cells have no colour.
const lowest = -1e12

// cell fills a cell with the colour of its value; lettered colours only the text.
func cell() dashboard.DynamicConfigValue {
	return property("custom.cellOptions", common.TableColoredBackgroundCellOptions{
		Type: common.TableCellDisplayModeColorBackground,
		Mode: cog.ToPtr(common.TableCellBackgroundDisplayModeBasic),
	})
}

func isCell(it dashboard.DynamicConfigValue) bool {
	_, is := it.Value.(common.TableColoredBackgroundCellOptions)
	return is
}

func lettered() dashboard.DynamicConfigValue {
	return property("custom.cellOptions", common.TableColorTextCellOptions{Type: common.TableCellDisplayModeColorText})
}

// graded colours by value; it needs cell or lettered.
func graded(base string, steps ...step) dashboard.DynamicConfigValue {
	return property("thresholds", thresholds(base, steps))
}

func bythreshold() dashboard.DynamicConfigValue {
	return property("color", dashboard.FieldColor{Mode: dashboard.FieldColorModeIdThresholds})
}

func linked(links ...dashboard.DashboardLink) dashboard.DynamicConfigValue {
	type dataLink struct {
		Title string `json:"title"`
		Url   string `json:"url"`
	}
	var made []dataLink
	for _, it := range links {
		made = append(made, dataLink{it.Title, *it.Url})
	}
	return property("links", made)
}
