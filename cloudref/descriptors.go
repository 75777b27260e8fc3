package cloudref

// Files and sockets come out of one purse, the descriptors of the process. Strangers
// can take as many as they open connections, and a store that cannot open its files
// has failed as if its disk had. So the doors have shares, and the store keeps its own.

const (
	// keptDescriptors are for what is not a door: the files of the store, sockets over
	// UDP, webhooks, the desk.
	keptDescriptors = 512
	// webConnectionsMax and boardConnectionsMax bound the shares where there is plenty:
	// all event streams that the API has and as many requests, and what package tcp
	// takes by itself.
	webConnectionsMax   = 20_000
	boardConnectionsMax = 1 << 16
)

// A doors says how many connections may be open at a time.
type doors struct{ web, boards int }

// doorsOf shares out the descriptors of a process that may have so many.
func doorsOf(descriptors int) doors {
	left := descriptors - min(keptDescriptors, descriptors/2)
	web := max(1, min(left/2, webConnectionsMax))
	return doors{web: web, boards: max(1, min(left-web, boardConnectionsMax))}
}
