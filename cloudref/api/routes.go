package api

import "net/http"

// routes has one row for each route of the API.
//
// The routes below a device are told apart by hand: its name may be anything, so
// that the patterns of ServeMux would overlap ("/v1/devices/events/{prefix}" and
// "/v1/devices/{device}/{variable}").
func (s *Server) routes() {
	for _, r := range []struct {
		pattern string
		serve   http.HandlerFunc
	}{
		{"POST /oauth/token", s.open(s.grant)},
		{"GET /v1/access_tokens/current", s.authed(s.currentToken)},
		{"DELETE /v1/access_tokens/current", s.authed(s.dropCurrentToken)},
		{"DELETE /v1/access_tokens/{token}", s.open(s.dropToken)},
		{"GET /v1/access_tokens", s.open(s.listTokens)},
		{"DELETE /v1/access_tokens", s.authed(s.dropTokens)},

		{"GET /v1/user", s.authed(s.user)},
		{"POST /v1/users", s.open(s.signUp)},
		{"GET /v1/clients", s.authed(s.listClients)},
		{"POST /v1/clients", s.authed(s.addClient)},
		{"PUT /v1/clients/{client}", s.authed(s.changeClient)},
		{"DELETE /v1/clients/{client}", s.authed(s.dropClient)},

		{"GET /v1/devices", s.authed(s.listDevices)},
		{"POST /v1/devices", s.authed(s.claimDevice)},
		{"POST /v1/devices/events", s.authed(s.publish)},
		{"GET /v1/devices/events", s.authed(s.streamMine)},
		{"GET /v1/devices/events/{prefix...}", s.authed(s.streamMine)},
		{"GET /v1/devices/{device}", s.authed(s.getDevice)},
		{"PUT /v1/devices/{device}", s.authed(s.changeDevice)},
		{"DELETE /v1/devices/{device}", s.authed(s.unclaimDevice)},
		{"GET /v1/devices/{device}/{rest...}", s.authed(s.belowDevice)},
		{"PUT /v1/devices/{device}/ping", s.authed(s.pingDevice)},
		{"POST /v1/devices/{device}/{function}", s.authed(s.callFunction)},
		{"POST /v1/device_claims", s.authed(s.claimCode)},
		{"POST /v1/provisioning/{device}", s.authed(s.provision)},

		{"GET /v1/events", s.authed(s.streamWithoutPrefix)},
		{"GET /v1/events/{prefix...}", s.authed(s.streamAll)},

		{"GET /v1/products", s.authed(s.listProducts)},
		{"GET /v1/user/products", s.authed(s.listProducts)},
		{"/v1/products/{product}", s.authed(s.unknownProduct)},
		{"/v1/products/{product}/{rest...}", s.authed(s.unknownProduct)},

		{"/", s.open(s.unknownRoute)},
	} {
		s.mux.HandleFunc(r.pattern, r.serve)
	}
}

func (s *Server) unknownRoute(*request) (any, error) { return nil, errNoRoute }

// listProducts: this cloud has no products yet.
func (s *Server) listProducts(*request) (any, error) {
	return object{"products": []any{}}, nil
}

// unknownProduct answers for every product alike: its existence is nobody's
// business.
func (s *Server) unknownProduct(*request) (any, error) {
	return nil, &failure{http.StatusNotFound, object{"ok": false, "error": "Permission denied"}}
}
