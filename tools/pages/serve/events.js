'use strict';

// Reads a stream of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)
// from pieces of text that end anywhere. Of the fields only `data` matters here.
class EventReader {
  constructor() {
    this.rest = '';  // an unfinished line
    this.data = [];  // of the event so far, line by line
  }
  // The data of each event that this piece completes.
  push(piece) {
    const events = [];
    // A return at the end may be half of a line's end.
    const lines = (this.rest + piece).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop();
    for (const line of lines) {
      if (line !== '') {
        const [, field, value] = /^([^:]*)(?:: ?)?(.*)$/s.exec(line);
        if (field === 'data') this.data.push(value);
      } else if (this.data.length > 0) {
        events.push(this.data.join('\n'));
        this.data = [];
      }
    }
    return events;
  }
}
