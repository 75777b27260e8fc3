package scenario

import (
	"reflect"
	"strings"
	"time"

	"github.com/muster/muster/sim/workload"
)

// A field is one field of a scenario file: what the tags of a struct say.
type field struct {
	name, doc, unit, def string
	need                 bool
	oneof                []string
	least, most          string
	index                int
	typ                  reflect.Type
}

// fields returns those of a struct, in the order of the reference.
func fields(t reflect.Type) []field {
	var list []field
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("yaml")
		if name == "" {
			continue
		}
		list = append(list, field{
			name: name, doc: f.Tag.Get("doc"), unit: f.Tag.Get("unit"), def: f.Tag.Get("default"),
			need: f.Tag.Get("need") != "", oneof: strings.Fields(f.Tag.Get("oneof")),
			least: f.Tag.Get("least"), most: f.Tag.Get("most"), index: i, typ: f.Type,
		})
	}
	return list
}

func namesOf(list []field) []string {
	names := make([]string, len(list))
	for i, f := range list {
		names[i] = f.name
	}
	return names
}

// The types with a form of their own.
var (
	typeDuration  = reflect.TypeFor[time.Duration]()
	typeSpread    = reflect.TypeFor[workload.Spread]()
	typeKind      = reflect.TypeFor[workload.Kind]()
	typeLoad      = reflect.TypeFor[Load]()
	typeThreshold = reflect.TypeFor[Threshold]()
)
