// wechatpay-axios-plugin with the throw-away key; it verifies every answer by itself.
import plugin from 'wechatpay-axios-plugin';
import { s } from './settings.mjs';

export const { Multipart } = plugin;
export const { v3 } = new plugin.Wechatpay({
  baseURL: `${s.base}/`,
  mchid: s.mchid,
  serial: s.serial,
  privateKey: s.privateKey,
  certs: { [s.platformID]: s.platformKey },
});
