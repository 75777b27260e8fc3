package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/target"
)

func checkCancel(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
		for _, discard := range []bool{false, true} {
			t := newTransfer(c, goodImage(c))
			if err := t.begin(); err != nil {
				return err
			}
			for i := uint32(1); i <= 4 && i <= t.count(); i++ {
				t.chunk(i)
			}
			c.Settle(time.Second)
			mark := c.Now()
			cancelled, err := t.cancel(discard)
			if err != nil {
				return err
			}
			what := fmt.Sprintf("a cancelled transfer (data discarded: %v): ", discard)
			Equal(r, "N-35", name, what+"the answer is a success without statistics", cancelled.Refused == 0 && cancelled.Stats == nil, true, lines(c.Packets(mark))...)
			start, err := t.start()
			if err != nil {
				return err
			}
			want := kept(c, 4*chunkSize)
			if discard {
				want = 0
			}
			Equal(r, "N-35", name, what+"the offset of the next Start", start.Offset, want, lines(c.Packets(mark))...)
			_, again := c.BeganAnew(mark)
			Equal(r, "N-35", name, what+"the device begins anew", again, false, lines(c.Packets(mark))...)
		}
		return nil
	})
}

// cuts are the places at which a transfer is cut: after how many chunks, and
// whether Finish was sent and answered.
var cuts = []struct {
	name   string
	chunks func(count uint32) uint32
	finish bool // is sent; its answer is not acknowledged
	want   func(size, chunk uint32) uint32
}{
	{"after Start", func(uint32) uint32 { return 0 }, false, func(uint32, uint32) uint32 { return 0 }},
	{"after the first chunk", func(uint32) uint32 { return 1 }, false, func(_, chunk uint32) uint32 { return chunk }},
	{"in the middle", func(n uint32) uint32 { return n / 2 }, false, func(size, chunk uint32) uint32 { return (size + chunk - 1) / chunk / 2 * chunk }},
	{"with all chunks in", func(n uint32) uint32 { return n }, false, func(size, _ uint32) uint32 { return size }},
	{"before the answer to Finish is acknowledged", func(n uint32) uint32 { return n }, true, func(size, _ uint32) uint32 { return size }},
}

func checkCutTransfer(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, cut := range cuts {
		err := withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
			t := newTransfer(c, goodImage(c))
			if err := t.begin(); err != nil {
				return err
			}
			n := cut.chunks(t.count())
			for i := uint32(1); i <= n; i++ {
				t.chunk(i)
			}
			c.Settle(time.Second)
			if cut.finish {
				c.Peer.SetAnswer(peer.Silent)
				if _, err := t.finish(); err != nil {
					return err
				}
				c.Peer.SetAnswer(nil)
			}
			mark := c.Now()
			c.LoseNetwork()
			c.Run(10 * time.Second)
			Equal(r, "N-36", name, "cut "+cut.name+": the device is connected again", c.Connected(), true, lines(c.Packets(mark))...)
			start, err := t.start()
			if err != nil {
				return err
			}
			Equal(r, "N-36", name, "cut "+cut.name+": the offset of the next Start", start.Offset, kept(c, cut.want(uint32(len(t.image)), t.size)), lines(c.Packets(mark))...)
			if start.Offset == uint32(len(t.image)) {
				mark = c.Now()
				if _, err := t.finish(); err != nil {
					return err
				}
				judgeApplied(r, c, name, mark, true)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkStalled(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
		if err := c.Takes(310 * time.Second); err != nil {
			return err
		}
		t := newTransfer(c, goodImage(c))
		if err := t.begin(); err != nil {
			return err
		}
		t.chunk(1)
		t.chunk(2)
		mark := c.Now() + 1
		c.Run(290 * time.Second)
		_, again := c.BeganAnew(mark)
		Equal(r, "N-37", name, "the device begins anew, or pings, within 290 s without a chunk", again, false, lines(c.Packets(mark))...)
		c.Return(mark, 20*time.Second)
		_, again = c.BeganAnew(mark)
		Equal(r, "N-37", name, "the device begins anew after 300 s without a chunk", again, true, lines(c.Packets(mark))...)
		start, err := t.start()
		if err != nil {
			return err
		}
		Equal(r, "N-37", name, "the offset of the next Start", start.Offset, kept(c, 2*chunkSize), lines(c.Packets(mark))...)
		return nil
	})
}

func checkResumedTransfer(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, way := range []struct {
		name string
		bend func(t *transfer)
		want uint32
	}{
		{"with another chunk size", func(t *transfer) { t.size = 1024 }, 3 * chunkSize},
		{"with another hash", func(t *transfer) { t.sha[0] ^= 1 }, 0},
		{"with Discard-Data", func(t *transfer) { t.drop = true }, 0},
		{"without a hash", func(t *transfer) { t.sha = nil }, 0},
	} {
		err := withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
			t := newTransfer(c, goodImage(c))
			if err := t.begin(); err != nil {
				return err
			}
			for i := uint32(1); i <= 3; i++ {
				t.chunk(i)
			}
			c.Settle(time.Second)
			mark := c.Now()
			if _, err := t.cancel(false); err != nil {
				return err
			}
			way.bend(t)
			start, err := t.start()
			if err != nil {
				return err
			}
			if !Equal(r, "N-38", name, "the offset of a Start "+way.name, start.Offset, kept(c, way.want), lines(c.Packets(mark))...) || kept(c, way.want) == 0 {
				return nil
			}
			t.all()
			c.Settle(time.Second)
			finish, err := t.finish()
			if err != nil {
				return err
			}
			Equal(r, "N-38", name, "Finish of a transfer that went on "+way.name, finish.Refused, 0, last(c.Packets(mark))...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkQuietUpdate(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
		t := newTransfer(c, goodImage(c))
		if err := t.begin(); err != nil {
			return err
		}
		t.chunk(1)
		c.Settle(time.Second)
		mark := c.Now()
		span := 2 * time.Minute
		if c.Sees(target.Telling) {
			refused := c.Publish("news", []byte("x"))
			if err := c.SyncTime(); err != nil {
				return err
			}
			Equal(r, "D-22", name, "the application is told that its event was not sent", refused != nil, true)
		} else if c.CanPublish(target.Publication{Data: []byte("x")}) {
			if err := c.Publish("news", []byte("x")); err != nil {
				return err
			}
		}
		if !c.Affords(span + span/2) {
			span = 10 * time.Second
		}
		c.Run(span)
		Equal(r, "D-22", name, "what the device sends by itself while it is updated", len(c.Heard(mark)), 0, lines(c.Packets(mark))...)
		if !c.Offers(target.FunctionSum) {
			unseen(r, "D-22", name, "a call while it is updated: its application registers no such function")
			return nil
		}
		mark = c.Now()
		c.Say(functionCall(c, 0x62, target.FunctionSum, "a"))
		judgeHeard(r, "D-22", name, "what the device says to a call while it is updated", c, mark, nil, []string{"60 00 __ __", "41 44 __ __ 62 ff 00 00 00 61"})
		return nil
	})
}
