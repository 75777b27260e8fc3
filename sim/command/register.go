package command

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/muster/muster/sim/fleet"
)

// atAPI reports whether public keys go to an API, and not to a file or a folder.
func atAPI(register string) bool {
	return strings.HasPrefix(register, "http://") || strings.HasPrefix(register, "https://")
}

// The bounds of registering: how many requests are open at once, and how long one
// may take.
const (
	registrars   = 4
	registerTime = 30 * time.Second
)

// A registrar registers public keys with a cloud as "particle keys send" does: the
// account of the token becomes the owner of the devices.
type registrar struct {
	base, token string
	client      *http.Client
}

// registerAt registers the keys of devices with the cloud whose API is at base. It
// stops at the first that is refused. progress hears how many are registered.
func registerAt(ctx context.Context, base, token string, keys *fleet.Keys, list []fleet.Member, progress func(done, of int)) error {
	r := &registrar{base: strings.TrimRight(base, "/"), token: token, client: &http.Client{Timeout: registerTime}}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan fleet.Member)
	var mu sync.Mutex
	done := 0
	var workers sync.WaitGroup
	for range registrars {
		workers.Go(func() {
			for m := range next {
				if err := r.register(ctx, m, keys.Public(m.ID)); err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				done++
				progress(done, len(list))
				mu.Unlock()
			}
		})
	}
	for _, m := range list {
		select {
		case next <- m:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}

// register registers one device.
func (r *registrar) register(ctx context.Context, m fleet.Member, public []byte) error {
	id, algorithm := m.ID.String(), "rsa"
	if m.Profile.Board.UDP {
		algorithm = "ecc"
	}
	form := url.Values{
		"deviceID": {id}, "algorithm": {algorithm}, "filename": {"muster"},
		"order":     {fmt.Sprintf("manual_%d", time.Now().UnixMilli())},
		"publicKey": {string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+"/v1/provisioning/"+id, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("--register: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("--register: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	const most = 1 << 16
	body, err := io.ReadAll(io.LimitReader(answer.Body, most))
	switch {
	case err != nil:
		return fmt.Errorf("--register: %w", err)
	case answer.StatusCode/100 == 2:
		return nil
	case answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden:
		return fmt.Errorf("the cloud does not let the token register device %s: %s: %s", id, answer.Status, words(body))
	case answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusMethodNotAllowed:
		return fmt.Errorf("the cloud takes no keys at %s/v1/provisioning/: %s; write them to a folder instead (--register DIR) and bring them there by its own means", r.base, answer.Status)
	}
	return fmt.Errorf("the cloud did not register device %s: %s: %s", id, answer.Status, words(body))
}

// words finds those for people in an answer that refuses, where clients look.
func words(body []byte) string {
	var e struct {
		Description string `json:"error_description"`
		Error       any    `json:"error"`
		Errors      []any  `json:"errors"`
	}
	if json.Unmarshal(body, &e) == nil {
		switch {
		case e.Description != "":
			return e.Description
		case e.Error != nil:
			return fmt.Sprint(e.Error)
		case len(e.Errors) > 0:
			return fmt.Sprint(e.Errors[0])
		}
	}
	const most = 200
	return strings.TrimSpace(string(body[:min(len(body), most)]))
}
