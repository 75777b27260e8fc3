package scenario

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Reference returns the tables of fields of scenario files, in Markdown: made from
// the same tags that [Read] goes by.
func Reference() string {
	var b strings.Builder
	for _, section := range []struct {
		title, where string
		t            reflect.Type
	}{
		{"The file", "", reflect.TypeFor[Scenario]()},
		{"groups", "groups[]", reflect.TypeFor[Group]()},
		{"publish", "groups[].publish[]", reflect.TypeFor[Publish]()},
		{"sleep", "groups[].sleep", reflect.TypeFor[Sleep]()},
		{"reconnect", "groups[].reconnect", reflect.TypeFor[Reconnect]()},
		{"functions", "groups[].functions[]", reflect.TypeFor[Function]()},
		{"variables", "groups[].variables[]", reflect.TypeFor[Variable]()},
		{"network", "groups[].network, phases[].network", reflect.TypeFor[Network]()},
		{"phases", "phases[]", reflect.TypeFor[Phase]()},
		{"arrive", "phases[].arrive", reflect.TypeFor[Arrive]()},
		{"ramp", "phases[].arrive.ramp", reflect.TypeFor[Ramp]()},
		{"spike", "phases[].arrive.spike", reflect.TypeFor[Spike]()},
		{"load", "phases[].load", reflect.TypeFor[Load]()},
		{"callers", "callers[]", reflect.TypeFor[Caller]()},
		{"campaigns", "campaigns[]", reflect.TypeFor[Campaign]()},
		{"thresholds", "thresholds[]", reflect.TypeFor[Threshold]()},
	} {
		fmt.Fprintf(&b, "\n### %s\n\n", section.title)
		if section.where != "" {
			fmt.Fprintf(&b, "`%s`\n\n", section.where)
		}
		b.WriteString("| Field | Is | Default | Meaning |\n|---|---|---|---|\n")
		for _, f := range fields(section.t) {
			def := f.def
			switch {
			case f.need:
				def = "required"
			case def != "":
				def = "`" + def + "`"
			default:
				def = "–"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.name, f.form(f.typ), def, f.doc)
		}
	}
	b.WriteString("\n### Functions of thresholds\n\n| Function | Compared with | Meaning |\n|---|---|---|\n")
	b.WriteString("| `p50(T)`, `p95(T)`, `p99.9(T)`… | a duration | the percentile of a time |\n")
	var names []string
	for name := range functions {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f := functions[name]
		args := map[string]string{"min": "T", "max": "T", "mean": "T", "count": "C", "rate": "C", "ratio": "C, C", "errors": `"reason"`, "bytes": "A", "share": "L"}[name]
		fmt.Fprintf(&b, "| `%s(%s)` | %s | %s |\n", name, args, units[f.unit].allowed, f.meaning)
	}
	fmt.Fprintf(&b, "\nT is one of `%s`. C is one of `%s`. A is one of `%s`. L is one of `%s`.\n",
		strings.Join(timingNames(), "`, `"), strings.Join(counterNames(), "`, `"), strings.Join(activityNames(), "`, `"), strings.Join(levelNames(), "`, `"))
	return b.String()
}

// form says in a word or two how a field is written.
func (f *field) form(t reflect.Type) string {
	noun := map[string]string{"duration": "duration", "rate": "rate", "share": "share", "bytes": "size", "number": "number", "": "number"}[f.unit]
	switch {
	case t == typeDuration:
		return "duration"
	case t == typeSpread:
		return noun + " or distribution"
	case t == typeLoad:
		return "share, or from and to"
	case t == typeThreshold:
		return "condition, or fields"
	case len(f.oneof) > 0:
		return "`" + strings.Join(f.oneof, "`, `") + "`"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return f.form(t.Elem())
	case reflect.Slice:
		return "list of " + f.form(t.Elem())
	case reflect.Struct:
		return "fields"
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	default:
		return noun
	}
}
