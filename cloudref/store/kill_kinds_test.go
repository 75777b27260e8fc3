package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A killKind is a kind of record that people make: how the child of TestKill writes
// version n of record i and waits until it is durable, and how the parent reads
// which version there is after the kill, 0 for none.
type killKind struct {
	kind    rune
	buckets []bucket
	put     func(ctx context.Context, s *Store, i int, n uint64) error
	get     func(ctx context.Context, s *Store, i int) uint64
}

// killAlways is the version of what has none: it is there.
const killAlways = 1 << 63

// killTime carries a number in a time.
func killTime(n uint64) time.Time { return time.Unix(int64(n), 0).UTC() }

func killAccount(i int) AccountID { return AccountID{0xac, 10: byte(i >> 8), 11: byte(i)} }
func killHook(i int) DeviceID     { return DeviceID{0xb0, 10: byte(i >> 8), 11: byte(i)} }
func killToken(i int) TokenHash   { return HashToken(fmt.Sprint("token", i)) }
func killCode(i int) string       { return fmt.Sprintf("%063d", i) }
func killProduct(i int) ProductID { return ProductID(1000 + i) }

func killLedger(i int) LedgerKey {
	return LedgerKey{Owner: LedgerOwner{Account: killAccount(1)}, Name: fmt.Sprint("ledger-", i)}
}

func numberOf(data json.RawMessage) uint64 {
	var v struct {
		N uint64 `json:"n"`
	}
	if json.Unmarshal(data, &v) != nil {
		return 0
	}
	return v.N
}

func numbered(n uint64) json.RawMessage { return json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)) }

var killKinds = []killKind{
	{
		'a',
		[]bucket{bucketAccounts},
		func(ctx context.Context, s *Store, i int, n uint64) error {
			return s.PutAccount(ctx, &Account{ID: killAccount(i), Username: fmt.Sprint("user", i), Created: killTime(n)})
		},
		func(_ context.Context, s *Store, i int) uint64 {
			a, _ := s.AccountByName(fmt.Sprint("user", i))
			return uint64(max(0, a.Created.Unix()))
		},
	},
	{
		'u',
		[]bucket{bucketUsers},
		func(ctx context.Context, s *Store, i int, n uint64) error {
			return s.PutUser(ctx, &User{Account: killAccount(i), PasswordHash: fmt.Sprint(n)})
		},
		func(ctx context.Context, s *Store, i int) uint64 {
			u, err := s.User(ctx, killAccount(i))
			if err != nil {
				return 0
			}
			n, _ := strconv.ParseUint(u.PasswordHash, 10, 64)
			return n
		},
	},
	{
		't',
		[]bucket{bucketTokens},
		func(ctx context.Context, s *Store, i int, n uint64) error {
			return s.PutToken(ctx, &Token{Hash: killToken(i), Account: killAccount(i), Kind: AccessToken, Created: killTime(n)})
		},
		func(ctx context.Context, s *Store, i int) uint64 {
			t, err := s.Token(ctx, killToken(i))
			if err != nil {
				return 0
			}
			return uint64(t.Created.Unix())
		},
	},
	{
		'c',
		[]bucket{bucketClients},
		func(ctx context.Context, s *Store, i int, n uint64) error {
			return s.PutClient(ctx, &Client{ID: fmt.Sprint("client-", i), Account: killAccount(i), Created: killTime(n)})
		},
		func(ctx context.Context, s *Store, i int) uint64 {
			c, err := s.Client(ctx, fmt.Sprint("client-", i))
			if err != nil {
				return 0
			}
			return uint64(c.Created.Unix())
		},
	},
	{
		'k',
		[]bucket{bucketClaims},
		func(ctx context.Context, s *Store, i int, n uint64) error {
			err := s.PutClaimCode(ctx, killCode(i), killAccount(i), time.Now().Add(time.Hour))
			if errors.Is(err, ErrConflict) {
				return nil // from before
			}
			return err
		},
		func(ctx context.Context, s *Store, i int) uint64 {
			if _, err := s.get(ctx, bucketClaims, claimKey(killCode(i))); err != nil {
				return 0
			}
			return killAlways
		},
	},
	{
		'p',
		[]bucket{bucketProducts},
		func(ctx context.Context, s *Store, i int, n uint64) error {
			_, err := s.products.upsert(ctx, killProduct(i), func(p *Product) error {
				p.ID, p.Slug, p.Created = killProduct(i), fmt.Sprint("product-", i), killTime(n)
				return nil
			})
			return err
		},
		func(_ context.Context, s *Store, i int) uint64 {
			p, err := s.ProductBySlug(fmt.Sprint("product-", i))
			if err != nil {
				return 0
			}
			return uint64(p.Created.Unix())
		},
	},
	{
		'm',
		[]bucket{bucketMembers},
		func(ctx context.Context, s *Store, i int, n uint64) error {
			_, err := s.UpdateMember(ctx, deviceID(i), func(m *Member) error {
				m.Product, m.Joined = killProduct(1), killTime(n)
				return nil
			})
			return err
		},
		func(_ context.Context, s *Store, i int) uint64 {
			return uint64(max(0, s.Member(deviceID(i)).Joined.Unix()))
		},
	},
	{
		'h',
		[]bucket{bucketHooks},
		func(ctx context.Context, s *Store, i int, n uint64) error {
			_, err := s.hooks.upsert(ctx, killHook(i), func(h *Hook) error {
				h.ID, h.Account, h.Event, h.Created, h.Spec = killHook(i), killAccount(1), "x", killTime(n), numbered(n)
				return nil
			})
			return err
		},
		func(_ context.Context, s *Store, i int) uint64 {
			h, err := s.Hook(killHook(i))
			if err != nil {
				return 0
			}
			return numberOf(h.Spec)
		},
	},
	{
		'l',
		[]bucket{bucketLedgers, bucketLedgerData},
		func(ctx context.Context, s *Store, i int, n uint64) error {
			_, err := s.ledgers.upsert(ctx, killLedger(i), func(l *Ledger) error {
				l.Key, l.Scope, l.Direction = killLedger(i), "Owner", "Downstream"
				return nil
			})
			if err != nil {
				return err
			}
			_, err = s.SetLedgerData(ctx, killLedger(i), killAccount(1).String(), killTime(n), func(json.RawMessage) (json.RawMessage, error) {
				return numbered(n), nil
			})
			return err
		},
		func(ctx context.Context, s *Store, i int) uint64 {
			if _, err := s.Ledger(killLedger(i)); err != nil {
				return 0
			}
			x, err := s.LedgerInstance(ctx, killLedger(i), killAccount(1).String())
			if err != nil {
				return 0
			}
			return numberOf(x.Data)
		},
	},
	{
		'v',
		[]bucket{bucketVitals},
		func(ctx context.Context, s *Store, i int, n uint64) error {
			return s.AddVitals(ctx, deviceID(i), Vitals{At: time.Now(), Payload: numbered(n)})
		},
		func(ctx context.Context, s *Store, i int) uint64 {
			list, err := s.Vitals(ctx, deviceID(i))
			if err != nil || len(list) == 0 {
				return 0
			}
			return numberOf(list[len(list)-1].Payload)
		},
	},
}

// killElsewhere are the buckets whose records TestKill writes in other ways, with
// why nothing else need be.
var killElsewhere = map[bucket]string{
	bucketMeta:     "read at each start, which fails without it",
	bucketDevices:  "kind D",
	bucketSessions: "kind S",
	bucketProgress: "kind R",
	bucketApps:     "kind A",
	bucketHookLogs: "written behind: nothing of it is promised",
}

// Every kind of record is killed.
func TestKillKnowsEveryBucket(t *testing.T) {
	known := map[bucket]bool{}
	for b := range killElsewhere {
		known[b] = true
	}
	for _, k := range killKinds {
		for _, b := range k.buckets {
			known[b] = true
		}
	}
	for b := range numBuckets {
		if !known[b] {
			t.Errorf("no kind of record in TestKill lies in %s: add one to killKinds", b)
		}
	}
}

// killPeople writes what people make, one after another, until the process is
// killed.
func killPeople(s *Store, start uint64, tell func(kind rune, i int, n uint64)) {
	for _, k := range killKinds {
		go func() {
			for n := start; ; n++ {
				i := int(n) % killDevices
				if err := k.put(context.Background(), s, i, n); err != nil {
					panic(fmt.Sprintf("%c: %v", k.kind, err))
				}
				tell(k.kind, i, n)
			}
		}()
	}
}

// ackCall is a webhook call that was queued; ackMade is one that was made.
const (
	ackCall = 'W'
	ackMade = 'w'
)

// killRetry is how long a call that is not made waits. A kill may come between the
// removal and the making of what hands out calls; then they wait that long.
const killRetry = 10 * time.Second

// killWaits tells the calls that nobody makes before the end, of those that are
// queued one after another: the first of each life, which may have no other.
func killWaits(n uint64) bool { return n%64 == 1 }

// killFirst is the first call of a life whose numbers start there.
func killFirst(start uint64) uint64 { return (start+63)/64*64 + 1 }

// killCallsAtOnce is how many calls that will be made may wait for that.
const killCallsAtOnce = 100

// killCalls queues webhook calls and makes them, until the process is killed. What
// was made may be handed out again after the kill; what was not must be. Each life
// has a hook of its own, as the queue of a hook is bounded.
func killCalls(s *Store, start uint64, tell func(kind rune, i int, n uint64)) {
	room := make(chan bool, killCallsAtOnce)
	_, err := s.ServeCalls(2, func(d Delivery) {
		n := binary.BigEndian.Uint64(d.Body)
		if killWaits(n) {
			d.Retry(killRetry)
			return
		}
		tell(ackMade, int(n), n)
		d.Done()
		select {
		case <-room:
		default: // it was queued in an earlier life
		}
	})
	if err != nil {
		panic(err)
	}
	go func() {
		for n := killFirst(start); ; n++ {
			if !killWaits(n) {
				room <- true
			}
			if err := s.Do(context.Background(), PutCall(Call{Hook: killHook(int(start)), Body: value(n)})); err != nil {
				panic(err)
			}
			tell(ackCall, int(n), n)
		}
	}()
}

// unmade returns the calls that were queued and not made.
func (a acknowledged) unmade() map[uint64]bool {
	wanted := map[uint64]bool{}
	for key, n := range a {
		if key.kind == ackCall {
			if _, made := a[ackKey{ackMade, key.device}]; !made {
				wanted[n] = true
			}
		}
	}
	return wanted
}

// verifyCalls takes everything out of the queue, and wants each call that was
// queued and not made.
func (a acknowledged) verifyCalls(t *testing.T, s *Store) {
	t.Helper()
	wanted := a.unmade()
	queued := len(wanted)
	if queued == 0 {
		t.Error("every webhook call was made: the test tests nothing")
		return
	}
	var mu sync.Mutex
	over := make(chan struct{})
	done := over
	stop, err := s.ServeCalls(4, func(d Delivery) {
		mu.Lock()
		defer mu.Unlock()
		delete(wanted, binary.BigEndian.Uint64(d.Body))
		d.Done()
		if len(wanted) == 0 && done != nil {
			close(done)
			done = nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	select {
	case <-over:
	case <-time.After(5 * time.Minute):
		mu.Lock()
		defer mu.Unlock()
		t.Errorf("%d of %d webhook calls that were queued are lost", len(wanted), queued)
	}
	t.Logf("%d webhook calls were queued and not made", queued)
}
