// Package hooks makes webhook calls: it turns an event and somebody's template
// into an HTTP request, and the answer into events.
//
//	event ─ store (queue) ─ [Runner] ─ [Render] ─ request ─ answer ─ pieces ─ events
//
// A [Spec] is what somebody wants called, a [Call] is one event for it. The Runner
// takes calls out of the store's queue, where they survive whatever happens to this
// process, and takes them off it when what became of them is stored in turn. So a
// call is made at least once; a server may see it twice.
//
// A [Guard] looks at every address before a connection is made: a webhook must not
// reach the cloud itself, nor what its operator closes to it.
//
// What this package is not: the place that says which events have hooks (that is
// the store's index), or that delivers events to devices and readers (see
// [Cloud]).
package hooks
