package db

// MaxWords is the largest number of words that a shell is offered.
const MaxWords = 50

// Word is a value that a shell can complete, with a description, or nil.
type Word struct {
	Text string
	Note *string
}

// Words returns words without descriptions.
func Words(texts []string) []Word {
	list := make([]Word, len(texts))
	for i, text := range texts {
		list[i].Text = text
	}
	return list
}
