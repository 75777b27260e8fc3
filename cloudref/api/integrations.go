package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/muster/muster/cloudref/hooks"
	"github.com/muster/muster/cloudref/store"
)

const (
	// hooksMax bounds the webhooks of an account, and of a product.
	hooksMax = 1000
	// hookEventMax bounds the event of a webhook, in bytes.
	hookEventMax = 64
	webhook      = "Webhook" // the one type of integration
)

var errHook = refuse(http.StatusNotFound, "Webhook not found")

// listHooks answers GET /v1/integrations, GET /v1/webhooks and their twins below a
// product.
func (s *Server) listHooks(q *request) (any, error) {
	product, err := s.productOrNone(q)
	if err != nil {
		return nil, err
	}
	list := []object{}
	for _, h := range s.hooksOf(q.account, product) {
		list = append(list, s.hookObject(q, h))
	}
	return list, nil
}

func (s *Server) hooksOf(a store.AccountID, p store.ProductID) []*store.Hook {
	if p != 0 {
		return s.store.HooksOfProduct(p)
	}
	return s.store.HooksOf(a)
}

// addHook answers POST /v1/integrations, POST /v1/webhooks and their twins.
func (s *Server) addHook(q *request) (any, error) {
	product, err := s.productOrNone(q)
	if err != nil {
		return nil, err
	}
	h := &store.Hook{ID: store.DeviceID(randomBytes(12)), Account: q.account, Product: product, Created: s.c.Now().UTC()}
	if err := s.describeHook(q, h); err != nil {
		return nil, err
	}
	switch {
	case s.isAnyCustomer(q.account):
		return nil, refuse(http.StatusForbidden, "Customers of a product have no webhooks.")
	case len(s.hooksOf(q.account, product)) >= hooksMax:
		return nil, refuse(http.StatusBadRequest, "There are at most %d webhooks.", hooksMax)
	}
	if err := s.store.CreateHook(q.Context(), h); err != nil {
		return nil, err
	}
	o := s.hookObject(q, h)
	o["ok"] = true
	return created{o}, nil
}

func (s *Server) isAnyCustomer(a store.AccountID) bool {
	account, known := s.store.Account(a)
	return !known || account.Customer != 0
}

// hook returns the webhook of the path, if it is the caller's.
func (s *Server) hook(q *request) (*store.Hook, error) {
	product, err := s.productOrNone(q)
	if err != nil {
		return nil, err
	}
	id, err := store.ParseDeviceID(q.PathValue("hook"))
	if err != nil {
		return nil, errHook
	}
	h, err := s.store.Hook(id)
	if err != nil || h.Product != product || product == 0 && h.Account != q.account && !s.c.Faults.OtherThings {
		return nil, errHook
	}
	return h, nil
}

// getHook answers GET /v1/integrations/:id. Its twin getWebhook differs in the words.
func (s *Server) getHook(q *request) (any, error) {
	h, err := s.hook(q)
	if err != nil {
		return nil, err
	}
	history, err := s.cloud.HookHistory(q.Context(), h.ID)
	if err != nil {
		return nil, err
	}
	o := s.hookObject(q, h)
	o["logs"], o["counters"] = hookLogs(history), hookCounters(history)
	return object{"integration": o}, nil
}

// getWebhook answers GET /v1/webhooks/:id.
func (s *Server) getWebhook(q *request) (any, error) {
	h, err := s.hook(q)
	if err != nil {
		return nil, err
	}
	history, err := s.cloud.HookHistory(q.Context(), h.ID)
	if err != nil {
		return nil, err
	}
	o := s.hookObject(q, h)
	failed := []object{}
	logs := hookLogs(history)
	for _, l := range logs {
		if l["type"] == "ERROR" {
			failed = append(failed, l)
		}
	}
	o["logs"], o["errors"], o["counters"] = logs, failed, hookCounters(history)
	return object{"webhook": o}, nil
}

func hookLogs(h hooks.History) []object {
	logs := []object{}
	for _, r := range h.Last {
		o := object{
			"event": r.Event, "type": "SUCCESS", "time": timestamp(r.At), "attempt": r.Attempt,
			"duration_ms": r.Duration.Milliseconds(), "status": nil, "message": nil,
		}
		if r.Status != 0 {
			o["status"] = r.Status
		}
		if r.Error != "" {
			o["type"], o["message"] = "ERROR", r.Error
		}
		logs = append(logs, o)
	}
	return logs
}

// hookCounters counts attempts by day, the last first.
func hookCounters(h hooks.History) []object {
	counters := []object{}
	for _, day := range h.Days {
		counters = append(counters, object{"date": day.Date, "success": day.Succeeded, "error": day.Failed})
	}
	return counters
}

// changeHook answers PUT /v1/integrations/:id and its twins: what is not given takes
// its default.
func (s *Server) changeHook(q *request) (any, error) {
	h, err := s.hook(q)
	if err != nil {
		return nil, err
	}
	h, err = s.store.UpdateHook(q.Context(), h.ID, func(h *store.Hook) error { return s.describeHook(q, h) })
	if err != nil {
		return nil, err
	}
	return object{"ok": true, "integration": s.hookObject(q, h)}, nil
}

func (s *Server) dropHook(q *request) (any, error) {
	h, err := s.hook(q)
	if err != nil {
		return nil, err
	}
	if err := s.store.RemoveHook(q.Context(), h.ID); err != nil {
		return nil, err
	}
	return noContent{}, nil
}

// testHook answers POST /v1/integrations/:id/test.
func (s *Server) testHook(q *request) (any, error) {
	h, err := s.hook(q)
	if err != nil {
		return nil, err
	}
	data := "test-event"
	if q.body.has("data") {
		data = q.body.text("data")
	}
	e := Event{
		Name: h.Event, Data: []byte(data), Published: s.c.Now(), Owner: h.Account, Product: h.Product,
	}
	if id, err := store.ParseDeviceID(q.body.text("device_id")); err == nil {
		e.Device = id
	}
	answer, err := s.cloud.TestHook(q.Context(), h, e)
	var wrong *hooks.SpecError
	if errors.As(err, &wrong) {
		return object{"pass": false, "error": wrong.What}, nil
	}
	if err != nil {
		return nil, err
	}
	return object{"pass": true, "data": strings.ToValidUTF8(string(answer), "\uFFFD")}, nil
}

// describeHook takes what the caller says of a webhook: all of it, as a whole.
func (s *Server) describeHook(q *request, h *store.Hook) error {
	b := q.body
	if kind := b.text("integration_type"); kind != "" && kind != webhook {
		return refuse(http.StatusBadRequest, "This cloud has integrations of type %s only.", webhook)
	}
	h.Event = firstOf(b.text("event"), b.text("eventName"))
	switch {
	case h.Event == "":
		return refuse(http.StatusBadRequest, "event is required")
	case len(h.Event) > hookEventMax:
		return refuse(http.StatusBadRequest, "event has at most %d bytes", hookEventMax)
	}
	h.Disabled = b.flag("disabled")
	h.Device = store.DeviceID{}
	device := firstOf(b.text("deviceID"), b.text("deviceId"), b.text("deviceid"), b.text("device_id"))
	if device != "" {
		id, err := store.ParseDeviceID(device)
		if err != nil {
			return refuse(http.StatusBadRequest, "deviceID has 24 hexadecimal digits")
		}
		h.Device = id
	}
	spec, err := hookSpec(b)
	if err == nil {
		err = spec.Check()
	}
	var wrong *hooks.SpecError
	if errors.As(err, &wrong) {
		return refuse(http.StatusBadRequest, "%s", wrong.What)
	}
	if err != nil {
		return err
	}
	h.Spec = encode(spec)
	return nil
}

func hookSpec(b body) (*hooks.Spec, error) {
	s := &hooks.Spec{
		Name: b.text("name"), URL: strings.TrimSpace(b.text("url")),
		RequestType: firstOf(b.text("requestType"), b.text("request_type"), http.MethodPost),
		Body:        b.text("body"), Form: b.texts("form"), Query: b.texts("query"), Headers: b.texts("headers"),
		ResponseTopic:      firstOf(b.text("responseTopic"), b.text("response_topic")),
		ErrorResponseTopic: firstOf(b.text("errorResponseTopic"), b.text("error_response_topic")),
		ResponseTemplate:   firstOf(b.text("responseTemplate"), b.text("response_template")),
		NoDefaults:         b.flag("noDefaults"), Unchunked: b.flag("unchunked"), DataURL: b.flag("dataUrlResponseEvent"),
		// Only a clear no: what the template of the command-line tool says,
		// "true/false", is none.
		AnyCertificate: b.text("rejectUnauthorized") == "false" || b.text("rejectUnauthorized") == "0",
	}
	if b.has("json") && b["json"] != nil && b["json"] != "" {
		s.JSON = encode(b["json"])
	}
	if auth := b.object("auth"); len(auth) > 0 {
		s.Auth = &hooks.Auth{Username: auth.text("username"), Password: auth.text("password")}
	}
	for _, name := range []string{"form", "query", "headers", "auth"} {
		if _, isObject := b[name].(map[string]any); b.has(name) && b[name] != nil && b[name] != "" && !isObject {
			return nil, &hooks.SpecError{What: name + " must be an object"}
		}
	}
	return s, nil
}

// texts returns a field that has fields of its own, each as text.
func (b body) texts(name string) map[string]string {
	fields := b.object(name)
	if len(fields) == 0 {
		return nil
	}
	texts := make(map[string]string, len(fields))
	for field := range fields {
		texts[field] = fields.text(field)
	}
	return texts
}

// hookObject is a webhook as the API tells it.
func (s *Server) hookObject(q *request, h *store.Hook) object {
	var spec hooks.Spec
	if err := json.Unmarshal(h.Spec, &spec); err != nil {
		s.c.Log(fmt.Sprintf("webhook %s cannot be read: %v", h.ID, err))
	}
	o := object{
		"id": h.ID.String(), "event": h.Event, "name": orNull(spec.Name), "created_at": timestamp(h.Created),
		"integration_type": webhook, "url": spec.URL, "requestType": spec.RequestType, "noDefaults": spec.NoDefaults,
		"rejectUnauthorized": !spec.AnyCertificate, "disabled": h.Disabled, "unchunked": spec.Unchunked,
		"dataUrlResponseEvent": spec.DataURL, "hookUrl": s.baseURL(q) + "/v1/webhooks/" + h.ID.String(),
	}
	for name, value := range map[string]string{
		"body": spec.Body, "responseTopic": spec.ResponseTopic, "errorResponseTopic": spec.ErrorResponseTopic,
		"responseTemplate": spec.ResponseTemplate,
	} {
		if value != "" {
			o[name] = value
		}
	}
	for name, value := range map[string]map[string]string{"form": spec.Form, "query": spec.Query, "headers": spec.Headers} {
		if len(value) > 0 {
			o[name] = value
		}
	}
	if len(spec.JSON) > 0 {
		o["json"] = spec.JSON
	}
	if spec.Auth != nil {
		o["auth"] = spec.Auth
	}
	if h.Device != (store.DeviceID{}) {
		o["deviceID"] = h.Device.String()
	}
	if h.Product != 0 {
		o["product_id"] = h.Product
	}
	return o
}

// baseURL is how the caller reached the API.
func (s *Server) baseURL(q *request) string {
	scheme := "http"
	if q.TLS != nil || q.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + q.Host
}
