package scenario

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Schema returns the JSON schema of scenario files (draft 2020-12), for editors and
// for tests: it is made from the same tags that [Read] goes by.
func Schema() []byte {
	defs := make(map[string]any)
	root := object(reflect.TypeFor[Scenario](), defs)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "A scenario of muster fleet"
	defs["distribution"] = distributionSchema()
	root["$defs"] = defs
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic("scenario: encoding the schema: " + err.Error()) // it is made of maps
	}
	return append(b, '\n')
}

// object returns the schema of a struct.
func object(t reflect.Type, defs map[string]any) map[string]any {
	properties := make(map[string]any)
	var required []string
	for _, f := range fields(t) {
		one := schemaOf(f.typ, f, defs)
		one["description"] = f.doc
		if f.def != "" {
			one["description"] = fmt.Sprintf("%s (default: %s)", f.doc, f.def)
		}
		properties[f.name] = one
		if f.need {
			required = append(required, f.name)
		}
	}
	o := map[string]any{
		"type": "object", "properties": properties, "additionalProperties": false,
		"patternProperties": map[string]any{"^x-": map[string]any{"description": "a place for anchors"}},
	}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}

// schemaOf returns the schema of a field.
func schemaOf(t reflect.Type, f field, defs map[string]any) map[string]any {
	switch t {
	case typeDuration:
		return text("duration")
	case typeSpread:
		return map[string]any{"anyOf": []any{quantity(f.unit), map[string]any{"$ref": "#/$defs/distribution"}}}
	case typeKind:
		return map[string]any{"enum": f.oneof}
	case typeLoad, typeThreshold:
		short := map[string]any{"type": "string"}
		if t == typeLoad {
			short = quantity("share")
		}
		return map[string]any{"anyOf": []any{short, ref(t, defs)}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem(), f, defs)
	case reflect.Struct:
		return map[string]any{"allOf": []any{ref(t, defs)}}
	case reflect.Slice:
		item := schemaOf(t.Elem(), f, defs)
		return map[string]any{"anyOf": []any{map[string]any{"type": "array", "items": item}, item}}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		if f.unit == "" {
			return map[string]any{"type": "integer", "minimum": 0}
		}
		return quantity(f.unit)
	case reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	case reflect.Float64:
		return quantity(f.unit)
	case reflect.String:
		if len(f.oneof) > 0 {
			return map[string]any{"enum": f.oneof}
		}
		return map[string]any{"type": []string{"string", "number", "boolean"}} // YAML takes some texts for those
	default:
		panic("scenario: no schema for " + t.String())
	}
}

// ref puts the schema of a struct among the definitions and refers to it.
func ref(t reflect.Type, defs map[string]any) map[string]any {
	name := strings.ToLower(t.Name())
	if defs[name] == nil {
		defs[name] = true // so that a type may contain itself
		defs[name] = object(t, defs)
	}
	return map[string]any{"$ref": "#/$defs/" + name}
}

// text is a quantity that is never a bare number.
func text(unit string) map[string]any {
	return map[string]any{"type": "string", "pattern": units[unit].pattern, "examples": []string{units[unit].allowed}}
}

// quantity is a number with a unit, or, but for durations, without.
func quantity(unit string) map[string]any {
	if unit == "duration" {
		return text(unit)
	}
	bare := map[string]any{"type": "number"}
	if unit != "number" && unit != "" {
		bare["minimum"] = 0
	}
	return map[string]any{"anyOf": []any{bare, text(unit)}}
}

// distributionSchema is that of workload.Spread in its long form.
func distributionSchema() map[string]any {
	value := map[string]any{"type": []string{"number", "string"}}
	pair := func(a, b string) map[string]any {
		return map[string]any{
			"type": "object", "additionalProperties": false, "required": []string{a, b},
			"properties": map[string]any{a: value, b: value},
		}
	}
	values := func(least int) map[string]any {
		return map[string]any{"type": "array", "items": value, "minItems": least}
	}
	two := values(2)
	two["maxItems"] = 2
	forms := map[string]any{
		"constant": value, "uniform": two, "exponential": value, "normal": pair("mean", "deviation"),
		"lognormal": pair("median", "sigma"), "choice": values(1), "least": value, "most": value,
	}
	one := make([]any, 0, len(kindNames))
	for _, name := range kindNames {
		one = append(one, map[string]any{"required": []string{name}})
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": forms, "oneOf": one}
}
