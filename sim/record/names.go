package record

// A Counter names something that is counted. Counters only grow.
type Counter string

// The counters. The comments are what they count.
const (
	Attempts        Counter = "attempts"         // attempts to connect
	Handshakes      Counter = "handshakes"       // sessions made by a full handshake
	Resumes         Counter = "resumes"          // devices that came online with a session that they had
	Connected       Counter = "connected"        // devices that came online
	Offline         Counter = "offline"          // connections and attempts that ended
	Arrivals        Counter = "arrivals"         // things the workload wanted done, whether or not they were
	Late            Counter = "late"             // arrivals that were begun later than the generator should allow
	Publishes       Counter = "publishes"        // events that devices began to publish
	Published       Counter = "published"        // events acknowledged by the cloud
	PublishFailed   Counter = "publish_failed"   // events never acknowledged
	PublishRefused  Counter = "publish_refused"  // events that the device itself refused: offline, rate limit, update
	EventsReceived  Counter = "events_received"  // events that devices got from the cloud
	FunctionsCalled Counter = "functions_called" // functions that the cloud called on devices
	VariablesRead   Counter = "variables_read"   // variables that the cloud read of devices
	Pings           Counter = "pings"            // keep-alives sent
	Sleeps          Counter = "sleeps"           // devices that went to sleep
	Moves           Counter = "moves"            // devices that got another address (NAT rebinding)
	UpdatesBegun    Counter = "updates_begun"    // updates that the cloud began
	UpdatesApplied  Counter = "updates_applied"  // updates received, verified and applied
	UpdatesFailed   Counter = "updates_failed"   // updates that ended otherwise
	Calls           Counter = "calls"            // requests to the cloud's API
	CallsFailed     Counter = "calls_failed"     // requests that got no success
	Ignored         Counter = "ignored"          // packets that devices ignored
	Stray           Counter = "stray"            // datagrams for nobody
	ImpairLost      Counter = "impair_lost"      // datagrams that the simulated network lost on purpose
	SocketDrops     Counter = "socket_drops"     // datagrams that this machine's kernel dropped: receive buffer full
	SendFailed      Counter = "send_failed"      // datagrams that this machine could not send: no room, no way
	SendRefused     Counter = "send_refused"     // datagrams that came back refused: nobody listens there
)

// A Timing names a distribution of durations.
type Timing string

// The timings.
const (
	// ConnectTime is from the beginning of an attempt until the device was
	// online; HandshakeTime and ResumeTime are the same of those with a new
	// session and with an old one.
	ConnectTime   Timing = "connect"
	HandshakeTime Timing = "connect_handshake"
	ResumeTime    Timing = "connect_resume"
	// PublishTime is from the moment at which an event should have been published,
	// by the open model of arrivals, until its acknowledgement. So what waits
	// behind a slow cloud is counted with its waiting (no coordinated omission).
	PublishTime Timing = "publish"
	// PublishService is from the moment at which it really was published.
	PublishService Timing = "publish_service"
	// DeliveryTime is from an event's publication until another device or a reader
	// of the event stream has it.
	DeliveryTime Timing = "delivery"
	// CallTime is that of a call of a function or read of a variable over the API.
	CallTime Timing = "call"
	// UpdateTime is from the start of an update until the device runs it.
	UpdateTime Timing = "update"
)

// A Level names something that goes up and down.
type Level string

// The levels, at the end of an interval.
const (
	Devices    Level = "devices"
	Online     Level = "online"
	Connecting Level = "connecting"
	Queued     Level = "queued" // waiting for their turn to connect
	Sleeping   Level = "sleeping"
	Updating   Level = "updating"
	Off        Level = "off"
)

// An Activity is what bytes on the wire were for.
type Activity string

// The activities: a device's bytes belong to what it is doing when they cross.
const (
	ActHandshake Activity = "handshake" // connecting with a full handshake, until online
	ActResume    Activity = "resume"    // coming back with an old session: the first packet and its answer
	ActKeepAlive Activity = "keep_alive"
	ActPublish   Activity = "publish"
	ActUpdate    Activity = "update"
	ActOther     Activity = "other" // everything else of a live session
)

// Help explains names to people, as on a page of metrics.
var Help = map[string]string{
	string(Attempts): "Attempts to connect", string(Handshakes): "Sessions made by a full handshake",
	string(Resumes): "Devices that came online without a handshake", string(Connected): "Devices that came online",
	string(Offline): "Connections and attempts that ended", string(Arrivals): "Things that the workload wanted done",
	string(Late): "Arrivals begun too late by this generator", string(Publishes): "Events that devices began to publish",
	string(Published): "Events acknowledged by the cloud", string(PublishFailed): "Events never acknowledged",
	string(PublishRefused): "Events refused by the device itself", string(EventsReceived): "Events that devices got",
	string(FunctionsCalled): "Functions that the cloud called", string(VariablesRead): "Variables that the cloud read",
	string(Pings): "Keep-alives sent", string(Sleeps): "Devices that went to sleep", string(Moves): "Devices that got another address",
	string(UpdatesBegun): "Updates begun", string(UpdatesApplied): "Updates applied", string(UpdatesFailed): "Updates failed",
	string(Calls): "Requests to the cloud's API", string(CallsFailed): "Requests without success",
	string(Ignored): "Packets that devices ignored", string(Stray): "Datagrams for nobody",
	string(ImpairLost): "Datagrams lost on purpose", string(SocketDrops): "Datagrams dropped by this machine",
	string(SendFailed): "Datagrams that could not be sent", string(SendRefused): "Datagrams that nobody listened for",
	string(ConnectTime): "Time to connect", string(HandshakeTime): "Time to connect with a full handshake",
	string(ResumeTime): "Time to connect with an old session", string(PublishTime): "Time from when an event was due to its acknowledgement",
	string(PublishService): "Time from sending an event to its acknowledgement", string(DeliveryTime): "Time from publication to delivery",
	string(CallTime): "Time of a call over the API", string(UpdateTime): "Time of an update",
	string(Devices): "Devices", string(Online): "Devices online", string(Connecting): "Devices on their way",
	string(Queued): "Devices waiting for their turn to connect", string(Sleeping): "Devices asleep",
	string(Updating): "Devices being updated", string(Off): "Devices switched off",
}
