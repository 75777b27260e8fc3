package conformance

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

func askingSuite() Suite {
	return Suite{
		Name: "asking",
		Text: "what a device answers when it is asked: functions, variables, describes, and what is wrong with a request, from a puppet cloud in virtual time",
		Checks: []Check{
			{
				Name: "functions", Text: "the acknowledgement comes first and the result apart; an unknown function has no result, an argument that is too long is refused",
				Provoke: "a puppet cloud calls functions with empty, longest and too long arguments, and one that does not exist", Observe: "acknowledgement and result to the last byte",
				Requirements: []string{"D-7"}, Run: checkAskedFunctions,
			},
			{
				Name: "variables", Text: "values are piggybacked up to 1.4 and separate from 1.5 on, where an unknown name is 4.04",
				Provoke: "a puppet cloud reads variables, and one that does not exist", Observe: "the replies to the last byte",
				Requirements: []string{"D-8"}, Run: said(variableLines),
			},
			{
				Name: "describe", Text: "a describe is piggybacked up to 1.x and separate from 2.0 on, protobuf with its format from 5.5 on",
				Provoke: "a puppet cloud asks for each describe", Observe: "type, code and options of the replies",
				Requirements: []string{"D-9"}, Run: said(describeLines),
			},
			{
				Name: "describe-refusals", Text: "from 3.3 on a request without flags, of a wrong type or token is 4.00, of a wrong block size 4.02, of a wrong block 4.04",
				Provoke: "a puppet cloud asks for a describe in seven wrong ways", Observe: "the replies to the last byte",
				Requirements: []string{"D-9", "N-15"}, Skip: since(pdc.OS3_3), Run: said(describeRefusals),
			},
			{
				Name: "describe-nothing", Text: "from 5.5 on flags other than exactly one type are acknowledged, and end the connection",
				Provoke: "a puppet cloud asks for flags 3 and 0", Observe: "the acknowledgement, and whether the device begins anew",
				Requirements: []string{"N-14"}, Skip: since(pdc.OS5_5), Run: said(describeNothing),
			},
			{
				Name: "describe-blocks", Text: "the blocks of a describe have one ETag, and are kept for 90 s after the last of them was asked for",
				Provoke: "a puppet cloud fetches a large describe with pauses of 80 s, and then of 100 s", Observe: "ETag, number and size of the blocks",
				Requirements: []string{"D-10"}, Skip: since(pdc.OS3_3), Run: checkServedBlocks,
			},
			{
				Name: "moved", Text: "a ServerMoved that is not signed is 4.00 with error -280, so is garbage; one that is not Confirmable or has no token is ignored",
				Provoke: "a puppet cloud sends ServerMoved in four wrong ways", Observe: "the replies, and whether the connection lives on",
				Requirements: []string{"N-16"}, Skip: skipAny(onlyUDP, since(pdc.OS4_1)), Run: said(movedLines),
			},
		},
	}
}

var variableLines = []line{
	{requirement: "D-8", name: "an int up to 1.4", until: pdc.OS1_5, say: "41 01 20 30 71 b1 76 05 63 6f 75 6e 74", want: []string{"61 45 20 30 71 ff ________"}},
	{requirement: "D-8", name: "an int", since: pdc.OS1_5, say: "41 01 20 30 71 b1 76 05 63 6f 75 6e 74", want: []string{"60 00 20 30", "?1 45 __ __ 71 ff ________"}},
	{requirement: "D-8", name: "a double up to 1.4", until: pdc.OS1_5, say: "41 01 20 31 71 b1 76 05 6c 65 76 65 6c", want: []string{"61 45 20 31 71 ff LEVEL"}},
	{requirement: "D-8", name: "a double", since: pdc.OS1_5, say: "41 01 20 31 71 b1 76 05 6c 65 76 65 6c", want: []string{"60 00 20 31", "?1 45 __ __ 71 ff LEVEL"}},
	{requirement: "D-8", name: "an unknown name up to 1.4", until: pdc.OS1_5, say: "41 01 20 32 71 b1 76 01 71", want: []string{"61 45 20 32 71 ff ________"}},
	{requirement: "D-8", name: "an unknown name", since: pdc.OS1_5, say: "41 01 20 32 71 b1 76 01 71", want: []string{"60 00 20 32", "?1 84 __ __ 71"}},
}

var describeLines = []line{
	{requirement: "D-9", name: "the application up to 1.x", until: pdc.OS2_0, say: "41 01 20 02 5a b1 64 41 02", want: []string{"61 45 20 02 5a ff 7b 22 66*"}},
	{requirement: "D-9", name: "the application", since: pdc.OS2_0, say: "41 01 20 02 5a b1 64 41 02", want: []string{"60 00 20 02", "41 45 __ __ 5a ff 7b 22 66*"}},
	{requirement: "D-9", name: "the system up to 1.x", until: pdc.OS2_0, say: "41 01 20 03 5a b1 64 41 01", want: []string{"61 45 20 03 5a ff 7b 22 70*"}},
	{requirement: "D-9", name: "the system up to 5.4", since: pdc.OS2_0, until: pdc.OS5_5, say: "41 01 20 03 5a b1 64 41 01", want: []string{"60 00 20 03", "41 45 __ __ 5a ff 7b 22 70*"}},
	{requirement: "D-9", name: "the system", since: pdc.OS5_5, say: "41 01 20 03 5a b1 64 41 01", want: []string{"60 00 20 03", "41 45 __ __ 5a c1 2a ff*"}},
	{requirement: "D-9", name: "no flags up to 1.x", until: pdc.OS2_0, say: "41 01 20 04 5a b1 64", want: []string{"61 45 20 04 5a ff 7b 22 66*"}},
	{requirement: "D-9", name: "no flags up to 3.2", since: pdc.OS2_0, until: pdc.OS3_3, say: "41 01 20 04 5a b1 64", want: []string{"60 00 20 04", "41 45 __ __ 5a ff 7b 22 66*"}},
	{requirement: "D-9", name: "the metrics up to 1.x", since: pdc.OS0_8, until: pdc.OS2_0, say: "41 01 20 05 5a b1 64 41 04", want: []string{"61 45 20 05 5a ff 00 04 00 02 00 04 00*"}},
	{requirement: "D-9", name: "the metrics", since: pdc.OS2_0, say: "41 01 20 05 5a b1 64 41 04", want: []string{"60 00 20 05", "41 45 __ __ 5a ff 00 04 00 02 00 04 00*"}},
}

var describeRefusals = []line{
	{requirement: "N-15", name: "no flags", say: "41 01 20 02 5a b1 64", want: []string{"61 80 20 02 5a"}},
	{requirement: "N-15", name: "not Confirmable", say: "51 01 20 03 5a b1 64 41 02", want: []string{"51 80 __ __ 5a"}},
	{requirement: "N-15", name: "two bytes of token", say: "42 01 20 04 5a 5b b1 64 41 02", want: []string{"62 80 20 04 5a 5b"}},
	{requirement: "N-15", name: "no token", say: "40 01 20 05 b1 64 41 02", want: []string{"60 80 20 05"}},
	{requirement: "N-15", name: "blocks of 256 bytes", say: "41 01 20 06 5a b1 64 41 02 81 04", want: []string{"61 82 20 06 5a"}},
	{requirement: "N-15", name: "block 1 of nothing", say: "41 01 20 07 5a b1 64 41 02 81 16", want: []string{"61 84 20 07 5a"}},
	{requirement: "N-15", name: "block 255", say: "41 01 20 08 5a b1 64 41 02 82 0f f6", want: []string{"61 84 20 08 5a"}},
}

var describeNothing = []line{
	{requirement: "N-14", name: "flags 3", say: "41 01 20 02 5a b1 64 41 03", want: []string{"60 00 20 02"}, then: gone},
	{requirement: "N-14", name: "flags 0", say: "41 01 20 03 5a b1 64 41 00", want: []string{"60 00 20 03"}, then: gone},
}

var movedLines = []line{
	{
		requirement: "N-16", name: "a signature that is none", only: "real", say: "41 02 20 71 b1 b1 4d ff 0a 09 31 32 37 2e 30 2e 30 2e 31 10 b4 2c 1a 03 6b 65 79 22 02 30 00",
		want: []string{"60 00 20 71", "41 80 __ __ b1 ff 7b 22 63 6f 64 65 22 3a 2d 32 38 30 2c*"},
	},
	{
		requirement: "N-16", name: "garbage", only: "real", say: "41 02 20 72 b1 b1 4d ff ff ff",
		want: []string{"60 00 20 72", "41 80 __ __ b1 ff 7b 22 63 6f 64 65 22 3a 2d 32 38 30 2c*"},
	},
	{
		requirement: "N-16", name: "any, to the virtual device", only: "virtual", say: "41 02 20 75 b1 b1 4d ff 0a",
		want: []string{"60 00 20 75", "41 a1 __ __ b1 ff 7b 22 63 6f 64 65 22 3a 2d 31 32 30 2c*"},
	},
	{requirement: "N-16", name: "not Confirmable", say: "51 02 20 73 b1 b1 4d ff 0a"},
	{requirement: "N-16", name: "no token", say: "40 02 20 74 b1 4d ff 0a"},
}

// functionCall is a function call in bytes, with a length of its argument in the form
// that it needs (RFC 7252 Section 3.1).
func functionCall(c *target.PuppetCloud, token byte, function, argument string) []byte {
	m := coap.Message{
		Type: coap.Confirmable, Code: coap.POST, ID: c.Peer.NextID(), Token: []byte{token},
		Options: coap.Options{
			{ID: coap.URIPath, Value: []byte("f")}, {ID: coap.URIPath, Value: []byte(function)}, {ID: coap.URIQuery, Value: []byte(argument)},
		},
	}
	return m.Append(nil)
}

func checkAskedFunctions(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetCloud(e, g, r, target.Stagecraft{}, func(c *target.PuppetCloud, name string) error {
		for _, f := range []string{target.FunctionSum, target.FunctionMinus} {
			if err := c.NeedsOffer(f); err != nil {
				return err
			}
		}
		limit := c.Profile.Dialect().Limits().Argument
		longest := strings.Repeat("a", limit)
		sum := func(argument string) string { return fmt.Sprintf("%08x", uint32(target.Sum(argument))) }
		for _, step := range []struct {
			what, function, argument string
			want                     []string
		}{
			{"a call", target.FunctionSum, "32,240", []string{"60 00 __ __", "?1 44 __ __ 62 ff" + sum("32,240")}},
			{"an empty argument", target.FunctionSum, "", []string{"60 00 __ __", "?1 44 __ __ 62 ff 00 00 00 00"}},
			{"a negative result", target.FunctionMinus, "x", []string{"60 00 __ __", "?1 44 __ __ 62 ff ff ff ff ff"}},
			{"the longest argument", target.FunctionSum, longest, []string{"60 00 __ __", "?1 44 __ __ 62 ff" + sum(longest)}},
			{"an unknown function", "nosuch", "x", []string{"60 00 __ __"}},
			// The function runs all the same, with what the device has of it.
			{"an argument that is too long", target.FunctionSum, longest + "a", []string{"60 80 __ __", "?1 44 __ __ 62 ff ________"}},
		} {
			message := functionCall(c, 0x62, step.function, step.argument)
			if len(message) > c.Profile.Dialect().Limits().Message {
				continue
			}
			mark := c.Now()
			c.Say(message)
			judgeHeard(r, "D-7", name, step.what+": what the device says", c, mark, nil, step.want)
		}
		return nil
	})
}

// wordy gives the application so many functions that its describe needs blocks.
func wordy(c *target.DeviceConfig) {
	app := *c.App
	app.Functions = append([]target.Function(nil), app.Functions...)
	for i := range 80 {
		app.Functions = append(app.Functions, target.Function{
			Name: fmt.Sprintf("a_function_with_a_long_name_%02d", i), Call: func(target.DeviceID, []byte) int32 { return 0 },
		})
	}
	c.App = &app
}

// askBlock asks for a block of the application describe, and returns the answer.
func askBlock(c *target.PuppetCloud, num int) (m peer.Message, ok bool) {
	request := coap.Message{
		Type: coap.Confirmable, Code: coap.GET, ID: c.Peer.NextID(), Token: []byte{byte(0x80 + num)},
		Options: coap.Options{{ID: coap.URIPath, Value: []byte("d")}, {ID: coap.URIQuery, Value: []byte{2}}},
	}
	if num > 0 {
		request.Options = append(request.Options, coap.Option{ID: coap.Block2, Value: []byte{byte(num<<4 | 6)}})
	}
	mark := c.Now()
	c.Say(request.Append(nil))
	answers := heardOf(c.Heard(mark), func(m peer.Message) bool { return string(m.CoAP.Token) == string(request.Token) })
	if len(answers) == 0 {
		return m, false
	}
	return answers[0], true
}

func checkServedBlocks(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetCloud(e, g, r, target.Stagecraft{Device: wordy}, func(c *target.PuppetCloud, name string) error {
		mark := c.Now()
		var body []byte
		etag, more := "", true
		for num := 0; more && num < 8; num++ {
			if num > 0 {
				c.Run(80 * time.Second) // each access begins the 90 s anew
			}
			m, ok := askBlock(c, num)
			if !Equal(r, "D-10", name, fmt.Sprintf("block %d is answered", num), ok, true, lines(c.Packets(mark))...) {
				return nil
			}
			tag, _ := m.CoAP.Option(coap.ETag)
			value, _ := m.CoAP.Option(coap.Block2)
			block := fmt.Sprintf("%x", value)
			if num == 0 {
				etag = string(tag)
				Equal(r, "D-10", name, "the first block has an ETag", len(tag) > 0, true, lines(c.Packets(mark))...)
			}
			Equal(r, "D-10", name, fmt.Sprintf("the ETag of block %d is that of the first", num), string(tag), etag, lines(c.Packets(mark))...)
			more = len(value) > 0 && value[len(value)-1]&8 != 0
			wantBlock := fmt.Sprintf("%02x", num<<4|6)
			if more {
				wantBlock = fmt.Sprintf("%02x", num<<4|8|6)
			}
			Equal(r, "D-10", name, fmt.Sprintf("Block2 of block %d", num), block, wantBlock, lines(c.Packets(mark))...)
			body = append(body, m.CoAP.Payload...)
		}
		_, err := pdc.ParseApplicationDescribe(body)
		Equal(r, "D-10", name, "the blocks make a describe", err == nil, true)

		mark = c.Now()
		if _, ok := askBlock(c, 0); !ok {
			return fmt.Errorf("block 0 is not answered")
		}
		c.Run(100 * time.Second)
		m, ok := askBlock(c, 1)
		Equal(r, "D-10", name, "the code of block 1 after 100 s without a request", m.CoAP.Code.String(), coap.NotFound.String(), lines(c.Packets(mark))...)
		Equal(r, "D-10", name, "block 1 is answered after 100 s", ok, true, lines(c.Packets(mark))...)
		return nil
	})
}
