'use strict';

// The code manager: each function was some dozens of lines over the MongoDB driver, and is one call now.

/** The manager on a service of the package `code-service`. */
function codes(service) {
  return {
    /** Saves the codes of a CSV file. */
    async save(campaignId, type, file) {
      const report = await service.save({ campaignId, type, codes: file });
      const count = { in: report.in, inserted: report.inserted, updated: report.updated };
      if (report.rejected === 0) {
        return { count };
      }
      return { count: { ...count, rejected: report.rejected }, rejected: report.rejections };
    },

    /** Reserves codes, fewer when fewer exist. */
    async reserve(campaignId, type, count) {
      const reservation = await service.reserve({ campaignId, type, count, partial: true });
      return { codes: reservation.codes, reserveId: reservation.reserveId };
    },

    /** Reserves codes under the caller's own id: all or none, unless `partial` is set. */
    async reserveUnder(reserveId, campaignId, { type, count, partial }) {
      const reservation = await service.reserve({ campaignId, type, count, partial, reserveId });
      const { reserved, expires, replayed } = reservation;
      return { reserveId, type, count: reservation.codes.length, codes: reservation.codes, reserved, expires, replayed };
    },

    async reservation(reserveId, campaignId) {
      return held(await service.reservation({ reserveId }), campaignId);
    },

    async recover(reserveId, campaignId) {
      return held(await service.recover({ reserveId }), campaignId);
    },

    async assign(campaignId, list, reserveId) {
      return settled(await service.assign({ campaignId, codes: list, reserveId }), reserveId);
    },

    async release(campaignId, list, reserveId) {
      return settled(await service.release({ campaignId, codes: list, reserveId }), reserveId);
    },

    async count(campaignId, type, status) {
      const counts = await service.count({ campaignId, type });
      return status === undefined ? counts : { [status]: counts[status] };
    },
  };
}

function settled(report, reserveId) {
  const count = { in: report.in, updated: report.updated };
  return reserveId === undefined ? { count } : { count, lost: report.lost };
}

/** A reservation, if it is of this campaign. */
function held(found, campaignId) {
  if (found === null || found.campaignId !== campaignId) {
    return null;
  }
  const { reserveId, type, reserved, expires } = found;
  const list = found.codes.map(({ code, status }) => ({ code, status }));
  return { reserveId, type, count: list.length, codes: list, reserved, expires };
}

module.exports = { codes };
