'use strict';

// Changes the list of messages and follows its end, unless the reader has scrolled away from it.
function changeMessages(change) {
  const messages = byId('messages');
  const follows = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 40;
  change(messages);
  if (follows) messages.scrollTop = messages.scrollHeight;
}

function addMessage(role, ...children) {
  const item = el('li', {class: role}, ...children);
  changeMessages((messages) => messages.append(item));
  return item;
}

// A text that grows. However many pieces come, it is drawn once a frame, and less often where that
// takes long: to place a text costs as much as it is long.
class GrowingText {
  // `drawn` is called after each time.
  constructor(element, drawn) {
    this.node = document.createTextNode('');
    element.append(this.node);
    this.drawn = drawn;
    this.waiting = '';
    this.frame = null;
    this.next = 0;  // when to draw again
  }
  append(piece) {
    this.waiting += piece;
    this.frame ??= requestAnimationFrame(() => this.draw());
  }
  // Takes at most a fifth of the time.
  draw() {
    const begin = performance.now();
    if (begin < this.next) {
      this.frame = requestAnimationFrame(() => this.draw());
      return;
    }
    this.flush();
    const end = performance.now();
    this.next = end + 4 * (end - begin);
  }
  flush() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    changeMessages(() => this.node.appendData(this.waiting));
    this.waiting = '';
    this.drawn();
  }
}

// The clipboard is for secure pages only. What pages on plain HTTP have left is to copy what is
// selected; where that fails, too, it stays selected. False then.
async function copyText(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    const selection = getSelection();
    selection.selectAllChildren(element);
    const copied = document.execCommand('copy');
    if (copied) selection.removeAllRanges();
    return copied;
  }
}

function copyButton(element) {
  const button = el('button', {type: 'button', title: 'Copy the answer'}, 'Copy');
  button.addEventListener('click', async () => {
    button.textContent = await copyText(element) ? 'Copied' : 'Not copied: press Ctrl+C';
  });
  return button;
}
