package api

import "net/http"

// A route is what the API answers to one method and path.
type route struct {
	pattern string // of http.ServeMux
	access  access
	handle  handler
}

// An access says who may use a route.
type access uint8

const (
	withToken access = iota // whoever has a token
	anyone                  // everybody: the handler looks for itself
)

// routes has one row for each route of the API. docs/api.md says what each is for.
//
// The routes below a device are told apart by hand: its name may be anything, so
// that the patterns of ServeMux would overlap ("/v1/devices/events/{prefix}" and
// "/v1/devices/{device}/{variable}").
func (s *Server) routes() []route {
	return append(s.servedRoutes(), s.unservedRoutes()...)
}

func (s *Server) servedRoutes() []route {
	return []route{
		{"POST /oauth/token", anyone, s.grant},
		{"GET /v1/access_tokens/current", withToken, s.currentToken},
		{"DELETE /v1/access_tokens/current", withToken, s.dropCurrentToken},
		{"DELETE /v1/access_tokens/{token}", anyone, s.dropToken},
		{"GET /v1/access_tokens", anyone, s.listTokens},
		{"DELETE /v1/access_tokens", withToken, s.dropTokens},

		{"GET /v1/user", withToken, s.user},
		{"PUT /v1/user", withToken, s.changeUser},
		{"DELETE /v1/user", withToken, s.dropUser},
		{"GET /v1/user/identify", withToken, s.identify},
		{"POST /v1/users", anyone, s.signUp},
		{"GET /v1/clients", withToken, s.listClients},
		{"POST /v1/clients", withToken, s.addClient},
		{"PUT /v1/clients/{client}", withToken, s.changeClient},
		{"DELETE /v1/clients/{client}", withToken, s.dropClient},

		{"GET /v1/orgs", withToken, s.listOrganizations},
		{"/v1/orgs/{org}", withToken, s.belowOrganization},
		{"/v1/orgs/{org}/{rest...}", withToken, s.belowOrganization},

		{"GET /v1/devices", withToken, s.listDevices},
		{"POST /v1/devices", withToken, s.claimDevice},
		{"POST /v1/devices/events", withToken, s.publish},
		{"GET /v1/devices/events", withToken, s.streamMine},
		{"GET /v1/devices/events/{prefix...}", withToken, s.streamMine},
		{"GET /v1/devices/{device}", withToken, s.getDevice},
		{"PUT /v1/devices/{device}", withToken, s.changeDevice},
		{"DELETE /v1/devices/{device}", withToken, s.unclaimDevice},
		{"GET /v1/devices/{device}/{rest...}", withToken, s.belowDevice},
		{"PUT /v1/devices/{device}/ping", withToken, s.pingDevice},
		{"POST /v1/devices/{device}/{function}", withToken, s.callFunction},
		{"POST /v1/device_claims", withToken, s.claimCode},
		{"POST /v1/provisioning/{device}", withToken, s.provision},

		{"GET /v1/events", withToken, s.streamWithoutPrefix},
		{"GET /v1/events/{prefix...}", withToken, s.streamAll},

		{"GET /v1/ledgers", withToken, s.listLedgers},
		{"POST /v1/ledgers", withToken, s.addLedger},
		{"GET /v1/ledgers/{ledger}", withToken, s.getLedger},
		{"PUT /v1/ledgers/{ledger}", withToken, s.changeLedger},
		{"DELETE /v1/ledgers/{ledger}", withToken, s.dropLedger},
		{"GET /v1/ledgers/{ledger}/instances", withToken, s.listInstances},
		{"GET /v1/ledgers/{ledger}/instances/{scope}", withToken, s.getInstance},
		{"PUT /v1/ledgers/{ledger}/instances/{scope}", withToken, s.setInstance},
		{"DELETE /v1/ledgers/{ledger}/instances/{scope}", withToken, s.dropInstance},
		{"GET /v1/ledgers/{ledger}/instances/{scope}/versions", withToken, s.listVersions},
		{"GET /v1/ledgers/{ledger}/instances/{scope}/versions/{version}", withToken, s.getVersion},

		{"GET /v1/diagnostics/{device}", withToken, s.listVitals},
		{"GET /v1/diagnostics/{device}/last", withToken, s.lastVitals},
		{"GET /v1/diagnostics/{device}/metadata", withToken, s.vitalsMetadata},
		{"POST /v1/diagnostics/{device}/update", withToken, s.updateVitals},

		{"GET /v1/integrations", withToken, s.listHooks},
		{"POST /v1/integrations", withToken, s.addHook},
		{"GET /v1/integrations/{hook}", withToken, s.getHook},
		{"PUT /v1/integrations/{hook}", withToken, s.changeHook},
		{"DELETE /v1/integrations/{hook}", withToken, s.dropHook},
		{"POST /v1/integrations/{hook}/test", withToken, s.testHook},
		{"GET /v1/webhooks", withToken, s.listHooks},
		{"POST /v1/webhooks", withToken, s.addHook},
		{"GET /v1/webhooks/{hook}", withToken, s.getWebhook},
		{"PUT /v1/webhooks/{hook}", withToken, s.changeHook},
		{"DELETE /v1/webhooks/{hook}", withToken, s.dropHook},
		{"POST /v1/webhooks/{hook}/test", withToken, s.testHook},

		{"GET /v1/products", withToken, s.listProducts},
		{"POST /v1/products", withToken, s.addProduct},
		{"GET /v1/user/products", withToken, s.listProducts},
		{"POST /v1/user/products", withToken, s.addProduct},
		{"GET /v1/products/{product}", withToken, s.getProduct},
		{"PUT /v1/products/{product}", withToken, s.changeProduct},

		{"GET /v1/products/{product}/devices", withToken, s.listProductDevices},
		{"POST /v1/products/{product}/devices", withToken, s.addProductDevices},
		{"PUT /v1/products/{product}/devices", withToken, s.changeProductDevices},
		{"GET /v1/products/{product}/devices/{device}", withToken, s.getDevice},
		{"PUT /v1/products/{product}/devices/{device}", withToken, s.changeDevice},
		{"DELETE /v1/products/{product}/devices/{device}", withToken, s.dropProductDevice},
		{"DELETE /v1/products/{product}/devices/{device}/owner", withToken, s.dropOwner},
		{"GET /v1/products/{product}/devices/{device}/{rest...}", withToken, s.belowDevice},
		{"PUT /v1/products/{product}/devices/{device}/ping", withToken, s.pingDevice},
		{"POST /v1/products/{product}/devices/{device}/{function}", withToken, s.callFunction},
		{"POST /v1/products/{product}/device_claims", withToken, s.customerClaimCode},

		{"POST /v1/products/{product}/events", withToken, s.publish},
		{"GET /v1/products/{product}/events", withToken, s.streamProduct},
		{"GET /v1/products/{product}/events/{prefix...}", withToken, s.streamProduct},

		{"GET /v1/products/{product}/groups", withToken, s.listGroups},
		{"POST /v1/products/{product}/groups", withToken, s.addGroup},
		{"GET /v1/products/{product}/groups/{group}", withToken, s.getGroup},
		{"PUT /v1/products/{product}/groups/{group}", withToken, s.changeGroup},
		{"DELETE /v1/products/{product}/groups/{group}", withToken, s.dropGroup},

		{"GET /v1/products/{product}/firmware", withToken, s.listFirmware},
		{"POST /v1/products/{product}/firmware", withToken, s.addFirmware},
		{"PUT /v1/products/{product}/firmware/release", withToken, s.release},
		{"GET /v1/products/{product}/firmware/{version}", withToken, s.getFirmware},
		{"PUT /v1/products/{product}/firmware/{version}", withToken, s.changeFirmware},
		{"DELETE /v1/products/{product}/firmware/{version}", withToken, s.dropFirmware},
		{"GET /v1/products/{product}/firmware/{version}/binary", withToken, s.getBinary},

		{"GET /v1/products/{product}/customers", withToken, s.listCustomers},
		{"POST /v1/products/{product}/customers", anyone, s.addCustomer},
		{"PUT /v1/products/{product}/customers/{customer}", withToken, s.changeCustomer},
		{"DELETE /v1/products/{product}/customers/{customer}", withToken, s.dropCustomer},
		{"GET /v1/products/{product}/clients", withToken, s.listClients},
		{"POST /v1/products/{product}/clients", withToken, s.addClient},
		{"PUT /v1/products/{product}/clients/{client}", withToken, s.changeClient},
		{"DELETE /v1/products/{product}/clients/{client}", withToken, s.dropClient},

		{"GET /v1/products/{product}/ledgers", withToken, s.listLedgers},
		{"POST /v1/products/{product}/ledgers", withToken, s.addLedger},
		{"GET /v1/products/{product}/ledgers/{ledger}", withToken, s.getLedger},
		{"PUT /v1/products/{product}/ledgers/{ledger}", withToken, s.changeLedger},
		{"DELETE /v1/products/{product}/ledgers/{ledger}", withToken, s.dropLedger},
		{"GET /v1/products/{product}/ledgers/{ledger}/instances", withToken, s.listInstances},
		{"GET /v1/products/{product}/ledgers/{ledger}/instances/{scope}", withToken, s.getInstance},
		{"PUT /v1/products/{product}/ledgers/{ledger}/instances/{scope}", withToken, s.setInstance},
		{"DELETE /v1/products/{product}/ledgers/{ledger}/instances/{scope}", withToken, s.dropInstance},
		{"GET /v1/products/{product}/ledgers/{ledger}/instances/{scope}/versions", withToken, s.listVersions},
		{"GET /v1/products/{product}/ledgers/{ledger}/instances/{scope}/versions/{version}", withToken, s.getVersion},

		{"GET /v1/products/{product}/diagnostics/{device}", withToken, s.listVitals},
		{"GET /v1/products/{product}/diagnostics/{device}/last", withToken, s.lastVitals},
		{"GET /v1/products/{product}/diagnostics/{device}/metadata", withToken, s.vitalsMetadata},
		{"POST /v1/products/{product}/diagnostics/{device}/update", withToken, s.updateVitals},

		{"GET /v1/products/{product}/integrations", withToken, s.listHooks},
		{"POST /v1/products/{product}/integrations", withToken, s.addHook},
		{"GET /v1/products/{product}/integrations/{hook}", withToken, s.getHook},
		{"PUT /v1/products/{product}/integrations/{hook}", withToken, s.changeHook},
		{"DELETE /v1/products/{product}/integrations/{hook}", withToken, s.dropHook},
		{"POST /v1/products/{product}/integrations/{hook}/test", withToken, s.testHook},
		{"GET /v1/products/{product}/webhooks", withToken, s.listHooks},
		{"POST /v1/products/{product}/webhooks", withToken, s.addHook},
		{"GET /v1/products/{product}/webhooks/{hook}", withToken, s.getWebhook},
		{"PUT /v1/products/{product}/webhooks/{hook}", withToken, s.changeHook},
		{"DELETE /v1/products/{product}/webhooks/{hook}", withToken, s.dropHook},
		{"POST /v1/products/{product}/webhooks/{hook}/test", withToken, s.testHook},

		{"/v1/products/{product}", withToken, s.belowProduct},
		{"/v1/products/{product}/{rest...}", withToken, s.belowProduct},

		{"/", anyone, s.unknownRoute},
	}
}

// unknownRoute answers for what is no route of the API, or has another method.
func (s *Server) unknownRoute(q *request) (any, error) { return nil, noRoute(q) }

func noRoute(q *request) *failure {
	return &failure{http.StatusNotFound, object{
		"ok": false, "error": "Not Found",
		"error_description": "This cloud has no route of this path for " + q.Method + ".",
	}}
}

// belowProduct answers for routes below a product that do not exist: for a product
// that is not the caller's as any of its routes.
func (s *Server) belowProduct(q *request) (any, error) {
	if _, err := s.product(q); err != nil {
		return nil, err
	}
	return nil, noRoute(q)
}
