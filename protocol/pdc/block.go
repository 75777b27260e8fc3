package pdc

import "github.com/muster/muster/protocol/coap"

// blockOf reads option id, Block1 or Block2. It returns nil when there is none,
// and ok false when its value is no block.
func blockOf(m coap.Message, id coap.OptionID) (b *coap.Block, ok bool) {
	if !m.Has(id) {
		return nil, true
	}
	block, ok := m.Block(id)
	return &block, ok
}
