// Package store holds what the reference cloud must not forget: devices and
// their keys, accounts and claim codes, sessions, the application state of each
// device, firmware images and published events.
//
// A [Store] writes asynchronously. [Store.Write] takes a batch of [Op] and
// calls back when all of them are durable; the endpoint holds its answer to the
// device until then, so nothing that was acknowledged is lost. Writes to one
// key take effect in the order they were given. Administrative calls
// (PutDevice, PutImage and so on) wait.
//
// The state lies in NATS JetStream: a server inside this process with a data
// directory ([Config].Dir), or a cluster ([Config].URL), by the same code. A
// store made by [NewMemory] has no disk, no goroutine and no clock: it finishes
// every call before it returns, which makes it the store of virtual-time runs.
//
// What every event or request asks for (products, their members, webhooks,
// ledgers) is a [table]: stored, and held in memory as well. Webhook calls that
// have to be made are a queue of their own (calls.go).
//
// Only primary records are stored. Which device has a key, a session's
// connection id or an account is an index in memory, rebuilt and checked when
// the store opens ([Store.Report] tells what the check found).
//
// Encodings: devices and sessions are binary, because a million of them are
// read at each start; records of which people make a few are JSON. Each begins
// with a version. Session records are encrypted on disk (see seal.go).
//
// What this package is not: a cache of live sessions (that is the endpoint's)
// or a place for decisions (those are the app's). It never interprets the
// record of a session nor the application state of a device.
package store
