package capture

import (
	"container/list"
	"iter"
)

// An lru is a map of bounded size that forgets what was not used for longest.
type lru[K comparable, V any] struct {
	max    int
	items  map[K]*list.Element
	order  *list.List // of entry[K, V], most recently used in front
	forgot func(K, V)
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](size int, forgot func(K, V)) lru[K, V] {
	return lru[K, V]{max: size, items: map[K]*list.Element{}, order: list.New(), forgot: forgot}
}

func (l *lru[K, V]) len() int { return l.order.Len() }

func (l *lru[K, V]) get(k K) (v V, ok bool) {
	e, ok := l.items[k]
	if !ok {
		return v, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*entry[K, V]).value, true
}

// put adds what is not there, and forgets the oldest when there are too many.
func (l *lru[K, V]) put(k K, v V) {
	if e, ok := l.items[k]; ok {
		e.Value.(*entry[K, V]).value = v
		l.order.MoveToFront(e)
		return
	}
	l.items[k] = l.order.PushFront(&entry[K, V]{k, v})
	if l.order.Len() > l.max {
		oldest := l.order.Back().Value.(*entry[K, V])
		l.drop(oldest.key)
		if l.forgot != nil {
			l.forgot(oldest.key, oldest.value)
		}
	}
}

func (l *lru[K, V]) drop(k K) {
	if e, ok := l.items[k]; ok {
		l.order.Remove(e)
		delete(l.items, k)
	}
}

// all yields the items, those not used for longest first. What is yielded may be
// dropped.
func (l *lru[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for e := l.order.Back(); e != nil; {
			item, next := e.Value.(*entry[K, V]), e.Prev()
			if !yield(item.key, item.value) {
				return
			}
			e = next
		}
	}
}
