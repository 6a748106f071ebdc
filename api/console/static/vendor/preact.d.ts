// The parts of Preact that the console uses.
export const Fragment: unique symbol;
export function h(type: any, props: any, ...children: any[]): any;
export function render(element: any, parent: Element): void;
export function createContext<T>(value: T): { Provider: any };
