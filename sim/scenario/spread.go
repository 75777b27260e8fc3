package scenario

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/muster/muster/sim/workload"
)

// kindNames are the kinds of distributions, in the order of the kinds.
var kindNames = []string{
	workload.Constant.String(), workload.Uniform.String(), workload.Exponential.String(),
	workload.Normal.String(), workload.LogNormal.String(), workload.Choice.String(),
}

// kindForms are how each is written.
var kindForms = map[string]string{
	"constant": "one value", "uniform": "a list of two, the least and the most", "exponential": "the mean",
	"normal": "{mean: …, deviation: …}", "lognormal": "{median: …, sigma: …}", "choice": "a list of values",
}

// spread reads a distribution: a value, or fields that name a kind.
func (r *reader) spread(n *yaml.Node, path string, f field) (s workload.Spread) {
	if n.Kind == yaml.ScalarNode {
		s.A, _ = r.scalar(n, path, f.unit)
		return s
	}
	if n.Kind != yaml.MappingNode {
		r.at(placeOf(n), path, "want %s, or a distribution ({exponential: …})", units[f.unit].allowed)
		return s
	}
	found := ""
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		switch {
		case key.Value == "least":
			s.Least, _ = r.scalar(value, at, f.unit)
		case key.Value == "most":
			s.Most, _ = r.scalar(value, at, f.unit)
		case !slices.Contains(kindNames, key.Value):
			r.at(placeOf(key), at, "there is no such distribution: %s", meant(key.Value, append(slices.Clone(kindNames), "least", "most")))
			return s
		case found != "":
			r.at(placeOf(key), at, "there is %s already: want one distribution", found)
		default:
			found = key.Value
			s.Kind = kindOf(found)
			r.parameters(value, at, f, &s)
		}
	}
	switch {
	case found == "":
		r.at(placeOf(n), path, "no distribution is named: %s", meant("", kindNames))
	case s.Most > 0 && s.Most < s.Least:
		r.at(placeOf(n), path, "most is less than least")
	}
	return s
}

// parameters reads what a kind of distribution needs.
func (r *reader) parameters(n *yaml.Node, path string, f field, s *workload.Spread) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	want := func() { r.at(placeOf(n), path, "want %s", kindForms[s.Kind.String()]) }
	switch s.Kind {
	case workload.Constant, workload.Exponential:
		s.A, _ = r.scalar(n, path, f.unit)
		if s.Kind == workload.Exponential && s.A <= 0 {
			r.at(placeOf(n), path, "want a mean above 0")
		}
	case workload.Uniform:
		if n.Kind != yaml.SequenceNode || len(n.Content) != 2 {
			want()
			return
		}
		s.A, _ = r.scalar(n.Content[0], path, f.unit)
		s.B, _ = r.scalar(n.Content[1], path, f.unit)
		if s.B < s.A {
			r.at(placeOf(n), path, "the second value is less than the first: want %s", kindForms["uniform"])
		}
	case workload.Normal:
		r.pair(n, path, "mean", "deviation", f.unit, f.unit, s)
	case workload.LogNormal:
		r.pair(n, path, "median", "sigma", f.unit, "number", s)
	case workload.Choice:
		if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
			want()
			return
		}
		for _, item := range n.Content {
			if r.full() {
				return
			}
			v, _ := r.scalar(item, path, f.unit)
			s.Values = append(s.Values, v)
		}
	default:
		panic("scenario: a distribution without a form")
	}
}

// pair reads two named parameters.
func (r *reader) pair(n *yaml.Node, path, a, b, unitA, unitB string, s *workload.Spread) {
	if n.Kind != yaml.MappingNode || len(n.Content) != 4 {
		r.at(placeOf(n), path, "want %s", kindForms[s.Kind.String()])
		return
	}
	for i := 0; i < len(n.Content); i += 2 {
		switch key, value := n.Content[i], n.Content[i+1]; key.Value {
		case a:
			s.A, _ = r.scalar(value, join(path, a), unitA)
		case b:
			s.B, _ = r.scalar(value, join(path, b), unitB)
			if s.B < 0 {
				r.at(placeOf(value), join(path, b), "want at least 0")
			}
		default:
			r.at(placeOf(key), join(path, key.Value), "there is no such parameter: %s", meant(key.Value, []string{a, b}))
		}
	}
}
