package app

import (
	"slices"
	"strings"

	"github.com/muster/muster/protocol/pdc"
)

// Subscriptions are what one session subscribed to, in the order in which it
// did. They never change: adding one makes another list, so that devices with
// the same list share it.
type Subscriptions struct{ list []pdc.Subscribe }

// All returns the subscriptions. The result must not be changed.
func (s *Subscriptions) All() []pdc.Subscribe {
	if s == nil {
		return nil
	}
	return s.list
}

// Subscriptions returns what the device subscribed to in this session, nil for
// nothing. Devices with equal lists return the same pointer if Config.Share
// shares.
func (d *Device) Subscriptions() *Subscriptions { return d.profile.subs }

// Want reports whether one of the subscriptions wants an event with that name
// from that publisher (zero for the API).
func (s *Subscriptions) Want(name string, publisher DeviceID) bool {
	wanted, _ := s.match(name, publisher)
	return wanted
}

// with returns the list with one more subscription, and whether it is new. It
// returns nil if the list is full.
func (s *Subscriptions) with(more pdc.Subscribe, c *Config) (*Subscriptions, bool) {
	more.Filter, more.Reliability = strings.Clone(more.Filter), 0
	if slices.Contains(s.All(), more) {
		return s, false
	}
	if len(s.All()) >= c.SubscriptionsMax {
		return nil, false
	}
	list := append(slices.Clone(s.All()), more)
	return shareSubscriptions(list, c), true
}

// shareSubscriptions returns the one list with this content.
func shareSubscriptions(list []pdc.Subscribe, c *Config) *Subscriptions {
	if len(list) == 0 {
		return nil
	}
	key := appendSubscriptions([]byte("subscriptions/"), list)
	for _, s := range list {
		key = append(key, byte(s.Reliability)) // which is not stored
	}
	return c.Share(string(key), func() any { return &Subscriptions{list} }).(*Subscriptions)
}

// match reports whether a subscription wants an event with that name from that
// publisher (zero for the API), and whether one that does wants structured data:
// the event is sent once, and all matching handlers run. The list is one
// account's business: "everybody's events" are those of the account too, as
// events are private to it (S9, S14).
func (s *Subscriptions) match(name string, publisher DeviceID) (wanted, structured bool) {
	all := s.All()
	for i := range all {
		if all[i].Matches(name) && (all[i].Scope != pdc.ScopeOneDevice || all[i].DeviceID == publisher) {
			wanted = true
			structured = structured || all[i].Type == pdc.HandlerStructured
		}
	}
	return wanted, structured
}
