// Package app is what the reference cloud does with the messages of one device:
// it accepts the Hello, keeps the describe and the subscriptions, takes events,
// calls functions, reads variables and sends firmware.
//
// A [Device] is a machine. Messages come in through Receive, what became of
// messages that it sent through Acknowledged, TimedOut and Lost, and what people
// ask for through commands ([Device.Call], [Device.Read], [Device.Deliver],
// [Device.Flash] and so on). It answers with an [Out]: replies, messages to
// send, events to publish, and effects. An Out that says Save, or publishes
// something, must be durable before any of its replies leaves: what a device
// was acknowledged is never lost.
//
// What this package is not: it knows no session, no socket, no store and no
// other device. Package endpoint holds those, and routes events between the
// devices of one account. There is no way to say "this device calls that one".
package app
