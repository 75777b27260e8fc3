package api

import "net/http"

// An unservedFeature is something that the real service has and this cloud has not.
// Clients have commands and methods for it, so its routes say what is missing and
// what to do instead, where the clients look for a text.
type unservedFeature struct {
	says   string
	routes []string // patterns of http.ServeMux
	access access
}

// unservedFeatures has one row for each. A pattern without a method stands for all
// methods, unless a served route below has one too.
var unservedFeatures = []unservedFeature{
	{
		says:   "This cloud has no compiler. Compile with Workbench, po-util or neopo, and flash the .bin.",
		routes: []string{"/v1/binaries", "/v1/binaries/{rest...}"},
	},
	{
		says:   "This cloud has no libraries and no compiler. Ask api.particle.io for libraries: \"particle profile particle\".",
		routes: []string{"/v1/libraries", "/v1/libraries/{rest...}"},
	},
	{
		says:   "This cloud has no Device OS binaries. Take them from the releases of Device OS, and flash the .bin.",
		routes: []string{"/v1/build_targets", "/v1/device-os/{rest...}"},
	},
	{
		says: "This cloud has no SIM cards: it sees the network behind them only.",
		routes: []string{
			"/v1/sims", "/v1/sims/{rest...}",
			"/v1/products/{product}/sims", "/v1/products/{product}/sims/{rest...}",
			"PUT /v1/products/{product}/devices/{device}/target_profile",
		},
	},
	{
		says:   "This cloud knows no serial numbers: devices do not tell them. Name the device by its id.",
		routes: []string{"/v1/serial_numbers/{rest...}"},
	},
	{
		says:   "This cloud runs no logic functions. Use webhooks, or an event stream and a program of yours.",
		routes: []string{"/v1/logic/{rest...}"},
	},
	{
		says:   "This cloud keeps no secrets for integrations. Write them into the webhook itself.",
		routes: []string{"/v1/secrets", "/v1/secrets/{rest...}"},
	},
	{
		says: "This cloud sends no environment variables to devices. Use a ledger: POST /v1/ledgers.",
		routes: []string{
			"/v1/env", "/v1/env/{rest...}",
			"/v1/products/{product}/env", "/v1/products/{product}/env/{rest...}",
		},
	},
	{
		says:   "This cloud has no team members: a product is its owner's. Share the token of the owner, or a client of the product: POST /v1/products/:product/clients.",
		routes: []string{"/v1/products/{product}/team", "/v1/products/{product}/team/{rest...}"},
	},
	{
		says:   "This cloud has no fleet configuration. Use a ledger of the product, or call the device's function.",
		routes: []string{"/v1/products/{product}/config", "/v1/products/{product}/config/{rest...}"},
	},
	{
		says:   "This cloud keeps no locations. The events that devices publish, such as loc, are in the event stream.",
		routes: []string{"/v1/products/{product}/locations", "/v1/products/{product}/locations/{rest...}"},
	},
	{
		says: "This cloud has no statistics of fleets here. They are at /metrics of the cloud, for Prometheus.",
		routes: []string{
			"/v1/products/{product}/metrics", "/v1/products/{product}/metrics/{rest...}",
			"/v1/products/{product}/impact", "/v1/products/{product}/impact/{rest...}",
		},
	},
	{
		says:   "This cloud sums up no vitals. They are at /v1/diagnostics/:device, each with its time.",
		routes: []string{"GET /v1/diagnostics/{device}/summary", "GET /v1/products/{product}/diagnostics/{device}/summary"},
	},
	{
		says: "This cloud does not know device protection: it has no keys to unprotect a device with.",
		routes: []string{
			"PUT /v1/devices/{device}/unprotect", "PUT /v1/products/{product}/devices/{device}/unprotect",
		},
	},
	{
		says: "This cloud sets up no Tachyon: it has no registration codes, documents or backups.",
		routes: []string{
			"/v1/products/{product}/registration_code", "PUT /v1/devices/{device}/backup_files",
			"GET /v1/products/{product}/devices/{device}/docs/{rest...}",
			"PATCH /v1/products/{product}/devices/{device}/docs/{rest...}",
		},
	},
	{
		says:   "This cloud has no login with a second factor.",
		routes: []string{"/v1/user/mfa-enable", "/v1/user/mfa-disable"},
	},
	{
		says: "This cloud has no contracts: nothing is paid for, and nothing runs out.",
		routes: []string{
			"/v1/user/service_agreements", "/v1/user/service_agreements/{rest...}",
			"/v1/service_agreements", "/v1/service_agreements/{rest...}", "/v1/user/usage_reports", "/v1/user/usage_reports/{rest...}",
		},
	},
	{
		says:   "This cloud has no mesh networks.",
		routes: []string{"/v1/networks", "/v1/networks/{rest...}"},
	},
	{
		says:   "This cloud sends no mail. The operator gives a user a new password (\"muster cloud user add NAME\"), a product's owner its customers (PUT /v1/products/:product/customers/:email).",
		routes: []string{"POST /v1/user/password-reset", "POST /v1/products/{product}/customers/reset_password"},
		access: anyone,
	},
}

// unservedRoutes returns the routes of what is not served.
func (s *Server) unservedRoutes() []route {
	var routes []route
	for _, f := range unservedFeatures {
		for _, pattern := range f.routes {
			routes = append(routes, route{pattern, f.access, s.unserved(f)})
		}
	}
	return routes
}

// unserved answers with a sentence. Below a product, those to whom it is not told
// that there is one do not learn it here either.
func (s *Server) unserved(f unservedFeature) handler {
	return func(q *request) (any, error) {
		if f.access == withToken && q.PathValue("product") != "" {
			if _, err := s.product(q); err != nil {
				return nil, err
			}
		}
		return nil, sentence(http.StatusNotImplemented, f.says)
	}
}

// sentence is a failure that people are to read: the command-line tool before 3.47
// shows the description only, and what is newer looks there first.
func sentence(status int, text string) *failure {
	return &failure{status, object{"ok": false, "error": text, "error_description": text}}
}

// listOrganizations answers GET /v1/orgs.
func (s *Server) listOrganizations(*request) (any, error) {
	return object{"organizations": []object{}}, nil
}

// belowOrganization answers for everything that an organisation has.
func (s *Server) belowOrganization(*request) (any, error) {
	return nil, sentence(http.StatusNotFound,
		"This cloud has no organisations. What they have is the account's own here: leave the organisation out.")
}
