package cloudref

import (
	"github.com/muster/muster/cloudref/store"
)

// hookCalls returns the webhook calls of an event.
func (c *Cloud) hookCalls(e *Event) []store.Op { return nil }
