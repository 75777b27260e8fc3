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

		{"GET /v1/ledgers", s.authed(s.listLedgers)},
		{"POST /v1/ledgers", s.authed(s.addLedger)},
		{"GET /v1/ledgers/{ledger}", s.authed(s.getLedger)},
		{"PUT /v1/ledgers/{ledger}", s.authed(s.changeLedger)},
		{"DELETE /v1/ledgers/{ledger}", s.authed(s.dropLedger)},
		{"GET /v1/ledgers/{ledger}/instances", s.authed(s.listInstances)},
		{"GET /v1/ledgers/{ledger}/instances/{scope}", s.authed(s.getInstance)},
		{"PUT /v1/ledgers/{ledger}/instances/{scope}", s.authed(s.setInstance)},
		{"DELETE /v1/ledgers/{ledger}/instances/{scope}", s.authed(s.dropInstance)},
		{"GET /v1/ledgers/{ledger}/instances/{scope}/versions", s.authed(s.listVersions)},
		{"GET /v1/ledgers/{ledger}/instances/{scope}/versions/{version}", s.authed(s.getVersion)},

		{"GET /v1/diagnostics/{device}", s.authed(s.listVitals)},
		{"GET /v1/diagnostics/{device}/last", s.authed(s.lastVitals)},
		{"GET /v1/diagnostics/{device}/metadata", s.authed(s.vitalsMetadata)},
		{"POST /v1/diagnostics/{device}/update", s.authed(s.updateVitals)},

		{"GET /v1/integrations", s.authed(s.listHooks)},
		{"POST /v1/integrations", s.authed(s.addHook)},
		{"GET /v1/integrations/{hook}", s.authed(s.getHook)},
		{"PUT /v1/integrations/{hook}", s.authed(s.changeHook)},
		{"DELETE /v1/integrations/{hook}", s.authed(s.dropHook)},
		{"POST /v1/integrations/{hook}/test", s.authed(s.testHook)},
		{"GET /v1/webhooks", s.authed(s.listHooks)},
		{"POST /v1/webhooks", s.authed(s.addHook)},
		{"GET /v1/webhooks/{hook}", s.authed(s.getWebhook)},
		{"PUT /v1/webhooks/{hook}", s.authed(s.changeHook)},
		{"DELETE /v1/webhooks/{hook}", s.authed(s.dropHook)},
		{"POST /v1/webhooks/{hook}/test", s.authed(s.testHook)},

		{"GET /v1/products", s.authed(s.listProducts)},
		{"POST /v1/products", s.authed(s.addProduct)},
		{"GET /v1/user/products", s.authed(s.listProducts)},
		{"POST /v1/user/products", s.authed(s.addProduct)},
		{"GET /v1/products/{product}", s.authed(s.getProduct)},
		{"PUT /v1/products/{product}", s.authed(s.changeProduct)},

		{"GET /v1/products/{product}/devices", s.authed(s.listProductDevices)},
		{"POST /v1/products/{product}/devices", s.authed(s.addProductDevices)},
		{"PUT /v1/products/{product}/devices", s.authed(s.changeProductDevices)},
		{"GET /v1/products/{product}/devices/{device}", s.authed(s.getDevice)},
		{"PUT /v1/products/{product}/devices/{device}", s.authed(s.changeDevice)},
		{"DELETE /v1/products/{product}/devices/{device}", s.authed(s.dropProductDevice)},
		{"DELETE /v1/products/{product}/devices/{device}/owner", s.authed(s.dropOwner)},
		{"GET /v1/products/{product}/devices/{device}/{rest...}", s.authed(s.belowDevice)},
		{"PUT /v1/products/{product}/devices/{device}/ping", s.authed(s.pingDevice)},
		{"POST /v1/products/{product}/devices/{device}/{function}", s.authed(s.callFunction)},
		{"POST /v1/products/{product}/device_claims", s.authed(s.customerClaimCode)},

		{"POST /v1/products/{product}/events", s.authed(s.publish)},
		{"GET /v1/products/{product}/events", s.authed(s.streamProduct)},
		{"GET /v1/products/{product}/events/{prefix...}", s.authed(s.streamProduct)},

		{"GET /v1/products/{product}/groups", s.authed(s.listGroups)},
		{"POST /v1/products/{product}/groups", s.authed(s.addGroup)},
		{"GET /v1/products/{product}/groups/{group}", s.authed(s.getGroup)},
		{"PUT /v1/products/{product}/groups/{group}", s.authed(s.changeGroup)},
		{"DELETE /v1/products/{product}/groups/{group}", s.authed(s.dropGroup)},

		{"GET /v1/products/{product}/firmware", s.authed(s.listFirmware)},
		{"POST /v1/products/{product}/firmware", s.authed(s.addFirmware)},
		{"PUT /v1/products/{product}/firmware/release", s.authed(s.release)},
		{"GET /v1/products/{product}/firmware/{version}", s.authed(s.getFirmware)},
		{"PUT /v1/products/{product}/firmware/{version}", s.authed(s.changeFirmware)},
		{"DELETE /v1/products/{product}/firmware/{version}", s.authed(s.dropFirmware)},
		{"GET /v1/products/{product}/firmware/{version}/binary", s.authed(s.getBinary)},

		{"GET /v1/products/{product}/customers", s.authed(s.listCustomers)},
		{"POST /v1/products/{product}/customers", s.open(s.addCustomer)},
		{"PUT /v1/products/{product}/customers/{customer}", s.authed(s.changeCustomer)},
		{"DELETE /v1/products/{product}/customers/{customer}", s.authed(s.dropCustomer)},
		{"GET /v1/products/{product}/clients", s.authed(s.listClients)},
		{"POST /v1/products/{product}/clients", s.authed(s.addClient)},
		{"PUT /v1/products/{product}/clients/{client}", s.authed(s.changeClient)},
		{"DELETE /v1/products/{product}/clients/{client}", s.authed(s.dropClient)},

		{"GET /v1/products/{product}/ledgers", s.authed(s.listLedgers)},
		{"POST /v1/products/{product}/ledgers", s.authed(s.addLedger)},
		{"GET /v1/products/{product}/ledgers/{ledger}", s.authed(s.getLedger)},
		{"PUT /v1/products/{product}/ledgers/{ledger}", s.authed(s.changeLedger)},
		{"DELETE /v1/products/{product}/ledgers/{ledger}", s.authed(s.dropLedger)},
		{"GET /v1/products/{product}/ledgers/{ledger}/instances", s.authed(s.listInstances)},
		{"GET /v1/products/{product}/ledgers/{ledger}/instances/{scope}", s.authed(s.getInstance)},
		{"PUT /v1/products/{product}/ledgers/{ledger}/instances/{scope}", s.authed(s.setInstance)},
		{"DELETE /v1/products/{product}/ledgers/{ledger}/instances/{scope}", s.authed(s.dropInstance)},
		{"GET /v1/products/{product}/ledgers/{ledger}/instances/{scope}/versions", s.authed(s.listVersions)},
		{"GET /v1/products/{product}/ledgers/{ledger}/instances/{scope}/versions/{version}", s.authed(s.getVersion)},

		{"GET /v1/products/{product}/diagnostics/{device}", s.authed(s.listVitals)},
		{"GET /v1/products/{product}/diagnostics/{device}/last", s.authed(s.lastVitals)},
		{"GET /v1/products/{product}/diagnostics/{device}/metadata", s.authed(s.vitalsMetadata)},
		{"POST /v1/products/{product}/diagnostics/{device}/update", s.authed(s.updateVitals)},

		{"GET /v1/products/{product}/integrations", s.authed(s.listHooks)},
		{"POST /v1/products/{product}/integrations", s.authed(s.addHook)},
		{"GET /v1/products/{product}/integrations/{hook}", s.authed(s.getHook)},
		{"PUT /v1/products/{product}/integrations/{hook}", s.authed(s.changeHook)},
		{"DELETE /v1/products/{product}/integrations/{hook}", s.authed(s.dropHook)},
		{"POST /v1/products/{product}/integrations/{hook}/test", s.authed(s.testHook)},
		{"GET /v1/products/{product}/webhooks", s.authed(s.listHooks)},
		{"POST /v1/products/{product}/webhooks", s.authed(s.addHook)},
		{"GET /v1/products/{product}/webhooks/{hook}", s.authed(s.getWebhook)},
		{"PUT /v1/products/{product}/webhooks/{hook}", s.authed(s.changeHook)},
		{"DELETE /v1/products/{product}/webhooks/{hook}", s.authed(s.dropHook)},
		{"POST /v1/products/{product}/webhooks/{hook}/test", s.authed(s.testHook)},

		{"/v1/products/{product}", s.authed(s.belowProduct)},
		{"/v1/products/{product}/{rest...}", s.authed(s.belowProduct)},

		{"/", s.open(s.unknownRoute)},
	} {
		s.mux.HandleFunc(r.pattern, r.serve)
	}
}

func (s *Server) unknownRoute(*request) (any, error) { return nil, errNoRoute }

// belowProduct answers for routes below a product that do not exist: for a product
// that is not the caller's as any of its routes.
func (s *Server) belowProduct(q *request) (any, error) {
	if _, err := s.product(q); err != nil {
		return nil, err
	}
	return nil, errNoRoute
}
