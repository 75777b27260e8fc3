package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/muster/muster/harness/target"
)

// A possession is what an account makes by a POST, and how its routes name it.
type possession struct {
	what, path, form string
	name             []string // the way to its name in the answer
	nobodys          string   // a name that none has
	routes           []route
}

// A route is a request about a possession, behind its name.
type route struct{ method, path, form string }

// possessionsOf are what an account can have beside devices. mark sets the names apart
// from those of other checks.
func possessionsOf(mark string) []possession {
	hook := url.Values{"event": {mark}, "url": {"http://" + mark + ".invalid/"}, "requestType": {"GET"}}.Encode()
	change := []route{{"GET", "", ""}, {"PUT", "", "name=stolen&event=stolen&url=http://stolen.invalid/&description=stolen"}, {"DELETE", "", ""}}
	return []possession{
		{
			"product", "/v1/products", url.Values{"name": {mark}, "platform_id": {"13"}}.Encode(), []string{"product", "id"}, "65535", []route{
				{"GET", "", ""},
				{"PUT", "", "name=stolen"},
				{"GET", "/devices", ""},
				{"POST", "/devices", "id=" + nobodysDevice},
				{"PUT", "/devices/" + nobodysDevice, "quarantined=false"},
				{"DELETE", "/devices/" + nobodysDevice, ""},
				{"GET", "/groups", ""},
				{"POST", "/groups", "name=stolen"},
				{"DELETE", "/groups/stolen", ""},
				{"GET", "/firmware", ""},
				{"GET", "/firmware/1/binary", ""},
				{"PUT", "/firmware/release", "version=1&product_default=true"},
				{"GET", "/customers", ""},
				{"POST", "/customers", "email=stolen@example.com&no_password=true"},
				{"GET", "/clients", ""},
				{"POST", "/clients", "name=stolen&type=web"},
				{"GET", "/integrations", ""},
				{"POST", "/integrations", hook},
				{"GET", "/ledgers", ""},
				{"POST", "/ledgers", "name=stolen&scope=Product&direction=Downstream"},
				{"GET", "/events", ""},
				{"POST", "/events", "name=stolen"},
				{"POST", "/device_claims", ""},
			},
		},
		{"webhook", "/v1/integrations", hook, []string{"id"}, nobodysDevice, append(change, route{"POST", "/test", ""})},
		{"client", "/v1/clients", url.Values{"name": {mark}, "type": {"web"}}.Encode(), []string{"client", "id"}, "0000000000000000", change[1:]},
		{
			"ledger", "/v1/ledgers", url.Values{"name": {mark}, "scope": {"Owner"}, "direction": {"Downstream"}}.Encode(),
			[]string{"ledger", "name"},
			"no-such-ledger",
			append(change, route{"GET", "/instances", ""}),
		},
	}
}

// in returns what stands in a JSON object on a way.
func in(body string, way []string) string {
	var value any
	if json.Unmarshal([]byte(body), &value) != nil {
		return ""
	}
	for _, name := range way {
		fields, _ := value.(map[string]any)
		value = fields[name]
	}
	switch value := value.(type) {
	case string:
		return value
	case float64:
		return fmt.Sprintf("%.0f", value)
	default:
		return ""
	}
}

func checkPossessions(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	w, err := e.Web(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	// In accounts that are a user's nothing is made.
	if err := e.Needs(target.Registration); err != nil {
		return err
	}
	if err := e.Needs(target.TwoAccounts); err != nil {
		return err
	}
	owner := g.Devices[0].Account
	stranger := 1 - owner
	mark := strings.ToLower(strings.NewReplacer(".", "-", "/", "-").Replace("mine-" + g.DeviceOS + "-" + g.Transport))
	for _, p := range possessionsOf(mark) {
		made, err := w.Ask(ctx, owner, "POST", p.path, p.form)
		if err != nil {
			return err
		}
		name := in(made.Body, p.name)
		if made.Status/100 != 2 || name == "" {
			return fmt.Errorf("making a %s: %s", p.what, made)
		}
		for _, route := range p.routes {
			theirs, err := w.Ask(ctx, stranger, route.method, p.path+"/"+name+route.path, route.form)
			if err != nil {
				return err
			}
			nobodys, err := w.Ask(ctx, stranger, route.method, p.path+"/"+p.nobodys+route.path, route.form)
			if err != nil {
				return err
			}
			what := fmt.Sprintf("%s %s/:%s%s", route.method, p.path, p.what, route.path)
			Equal(r, "A-15", "", what+" of another account's is refused", theirs.Status >= 400, true)
			Equal(r, "A-15", "", what+": the answer, as for one that does not exist",
				strings.ReplaceAll(theirs.String(), name, "X"), strings.ReplaceAll(nobodys.String(), p.nobodys, "X"))
		}
		// Checks of other generations make theirs at the same time.
		list, err := w.Ask(ctx, stranger, "GET", p.path, "")
		if err != nil {
			return err
		}
		Equal(r, "A-15", "", fmt.Sprintf("the list of another account's %ss names it", p.what), strings.Contains(list.Body, mark), false)
		after, err := w.Ask(ctx, owner, "GET", p.path, "")
		if err != nil {
			return err
		}
		Equal(r, "A-15", "", fmt.Sprintf("the owner's %s is there, by its name", p.what), strings.Contains(after.Body, name) && strings.Contains(after.Body, mark), true, after.String())
		Equal(r, "A-15", "", fmt.Sprintf("the owner's %s was changed", p.what), strings.Contains(after.Body, "stolen"), false, after.String())
		if p.what != "product" { // for which there is no route
			if _, err := w.Ask(ctx, owner, "DELETE", p.path+"/"+name, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// manyParts is how many parts nobody needs.
const manyParts = 10_000

func checkUploads(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	w, err := e.Web(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	d := g.Devices[0]
	path := "/v1/devices/" + d.Hex()
	a, taken, err := w.FloodFile(ctx, d.Account, "PUT", path, floodSize)
	if err != nil {
		return err
	}
	refused := func(a target.Answer) bool { return a.Status == 0 || a.Status >= 400 && a.Status < 500 }
	Equal(r, "A-16", "", fmt.Sprintf("an upload of %d bytes is refused", floodSize), refused(a), true, a.String())
	Equal(r, "A-16", "", fmt.Sprintf("at most %d bytes were taken, of %d", floodMost, taken), taken <= floodMost, true)
	// The first part names an event: who takes them all publishes it.
	a, err = w.ManyParts(ctx, d.Account, "POST", "/v1/devices/events", manyParts)
	if err != nil {
		return err
	}
	Equal(r, "A-16", "", fmt.Sprintf("an upload of %d parts is refused", manyParts), refused(a), true, a.String())
	next, err := w.Ask(ctx, d.Account, "GET", "/v1/access_tokens/current", "")
	if err != nil {
		return err
	}
	Equal(r, "A-16", "", "status of the next answer", next.Status, 200)
	return nil
}
